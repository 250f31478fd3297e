// A result whose time is up: what one job wrote goes, what others added to the directory stays. The order lets a crash
// between any two steps be finished by running it again: part files are found by their names, which carry the job.
import type { SinkJob } from '../connector.ts'
import { removeEmptyErrors, removeErrors } from './errors.ts'
import { MANIFEST, manifestBytes, readManifest, SUCCESS, withoutJob } from './manifest.ts'
import { isPartOf } from './staging.ts'
import type { FileStore } from './store.ts'

/** Removes the job's files. The directory is a result as long as it holds one of another job. */
export async function expireResult(store: FileStore, job: SinkJob): Promise<void> {
  const manifest = await readManifest(store)
  const rest = manifest && withoutJob(manifest, job)
  // 1. Nobody may take for a result what loses its files now.
  if (rest === null) await store.remove([SUCCESS])
  else if (rest !== manifest) await store.put(MANIFEST, manifestBytes(rest))
  // 2. The files.
  await store.remove((await store.list('')).filter((name) => isPartOf(job, name)))
  await removeErrors(store, (resultId) => resultId === job.resultId)
  await removeEmptyErrors(store)
  // 3. Only now nothing is left to describe.
  if (rest === null && manifest !== null) await store.remove([MANIFEST])
}

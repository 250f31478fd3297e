// A result whose time is up: what one job wrote goes, what others added to the directory stays. The order lets a crash
// between any two steps be finished by running it again: part files are found by their names, which carry the job.
import type { SinkJob } from '../connector.ts'
import { removeEmptyErrors, removeErrors } from './errors.ts'
import { MANIFEST, SUCCESS, updateManifest, withoutJob } from './manifest.ts'
import { isPartOf } from './staging.ts'
import type { FileStore } from './store.ts'

/** Removes the job's files. The directory is a result as long as it holds one of another job. */
export async function expireResult(store: FileStore, job: SinkJob): Promise<void> {
  // 1. Nobody may take for a result what loses its files now.
  await unlist(store, job)
  // 2. The files.
  await store.remove((await store.list('')).filter((name) => isPartOf(job, name)))
  await removeErrors(store, (resultId) => resultId === job.resultId)
  await removeEmptyErrors(store)
  // 3. Only now nothing is left to describe; unless another process has added to the directory meanwhile.
  if (await unlist(store, job)) await store.remove([MANIFEST])
}

/** Whether the manifest lists nothing else. Then it stays for now, but nothing is declared. */
async function unlist(store: FileStore, job: SinkJob): Promise<boolean> {
  let alone = false
  await updateManifest(store, async (current) => {
    const rest = current && withoutJob(current, job)
    alone = rest === null
    if (alone) await store.remove([SUCCESS])
    return rest
  })
  return alone
}

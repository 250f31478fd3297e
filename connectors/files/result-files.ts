// The files of a finished result, for those who want to download them: what the manifest lists of the job, and no other
// file of the directory.
import { realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ResultDescription, ResultFile, SinkJob } from '../connector.ts'
import { succeeded } from './carry-out.ts'
import { type ManifestFile, readManifest, resultOf } from './manifest.ts'
import type { FileStore } from './store.ts'

/** Null when the result is not there, or another job has replaced it. */
export async function describeResult(store: FileStore, job: SinkJob): Promise<ResultDescription | null> {
  const manifest = await readManifest(store)
  if (manifest === null || resultOf(manifest, job) === undefined || !(await succeeded(store))) return null
  const files = manifest.files.filter(({ result_id }) => result_id === job.resultId)
  return {
    format: manifest.format,
    schema: manifest.schema,
    files: await Promise.all(files.map((file) => described(store, file))),
  }
}

/** The path of a file of the result on this machine; null when it is none of its files, or not here. */
export async function resultPath(store: FileStore, job: SinkJob, name: string): Promise<string | null> {
  const result = await describeResult(store, job)
  const file = result?.files.find((other) => other.name === name)
  if (file === undefined || file.link !== undefined) return null
  const directory = fileURLToPath(store.location)
  // Neither a manifest that somebody has written nor a link in the place of a file leads anywhere else.
  const path = await realpath(join(directory, name)).catch(() => null)
  return path !== null && dirname(path) === (await realpath(directory)) ? path : null
}

async function described(store: FileStore, { name, rows, bytes, sha256 }: ManifestFile): Promise<ResultFile> {
  return { name, rows, bytes, sha256, ...(store.link ? { link: await store.link(name) } : {}) }
}

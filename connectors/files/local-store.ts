// A result directory on a local (or mounted) disk. A file is written under a name of its own, synced, and renamed: a
// reader, or a crash, sees the old file or the whole new one.
import { randomBytes } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConnectorError } from '../connector.ts'
import { replaceLocked } from './local-replace.ts'
import { writable } from './location.ts'
import type { FileStore, PartFile, StagedPart } from './store.ts'

export function openLocalStore(directory: string): FileStore {
  const at = (name: string) => join(directory, name)
  return {
    location: pathToFileURL(join(directory, '/')).href,
    requireWritable: () => guarded(directory, () => requireWritable(directory)),
    createDirectory: (name) => guarded(name, () => makeDirectory(at(name))),
    list: (name) => guarded(name, () => listEntries(at(name), (entry) => entry.isFile())),
    directories: (name) => guarded(name, () => listEntries(at(name), (entry) => entry.isDirectory())),
    read: (name) => guarded(name, () => unlessMissing(readFile(at(name)), null)),
    put: (name, bytes) => guarded(name, () => putWhole(at(name), bytes)),
    replace: (name, expected, bytes) => guarded(name, () => replaceWhole(at(name), expected, bytes)),
    remove: (names) => guarded(directory, () => removeAll(names.map(at))),
    begin: (name) => guarded(name, () => beginPart(at(name))),
    // A file that was not finished lies in the staging directory and goes with it.
    begun: async () => [],
    forget: async () => {},
    missing: (parts) => guarded(directory, () => missingParts(parts, at)),
    publish: (parts) => guarded(directory, () => publishAll(parts, at)),
    withdraw: (parts) => guarded(directory, () => withdrawAll(parts, at)),
    removeDirectory: (name) => guarded(name, () => removeTree(directory, name)),
  }
}

async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true }).catch(async (error: unknown) => {
    // On a disk that is read-only, Node finds no more to say than that the directory is not there.
    if (isMissing(error)) await requireWritable(path)
    throw error
  })
  // The new directories must outlive a crash as surely as the files that will be put there.
  if (first !== undefined) {
    for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at))
  }
}

async function requireWritable(directory: string): Promise<void> {
  const problem = await writable(directory)
  if (problem !== null) throw new ConnectorError(problem.code, problem.detail, { retriable: false })
}

async function listEntries(path: string, wanted: (entry: Dirent) => boolean): Promise<string[]> {
  const entries = await unlessMissing(readdir(path, { withFileTypes: true }), [])
  return entries
    .filter((entry) => wanted(entry) && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort()
}

async function putWhole(path: string, bytes: Uint8Array): Promise<void> {
  const part = await beginPart(path)
  try {
    await part.write(bytes)
    await part.commit()
  } catch (error) {
    await part.abort()
    throw error
  }
}

/** For a path that nobody else looks at yet: there is nothing to rename, and no name to keep. */
async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    await handle.writeFile(bytes)
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

async function replaceWhole(path: string, expected: Uint8Array | null, bytes: Uint8Array): Promise<boolean> {
  if (!(await replaceLocked(path, expected, (next) => writeNew(next, bytes)))) return false
  await syncDirectory(dirname(path))
  return true
}

async function removeAll(paths: readonly string[]): Promise<void> {
  const changed = new Set<string>()
  for (const path of paths) {
    const removed = await unlessMissing(
      unlink(path).then(() => true),
      false,
    )
    if (removed) changed.add(dirname(path))
  }
  // Another process that removes the same may be further, and have taken the directory away.
  for (const directory of changed) await unlessMissing(syncDirectory(directory), undefined)
}

async function beginPart(path: string): Promise<PartFile> {
  // Unique to this writer: a zombie that writes the same part has another file, and the renames replace equals.
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
  const handle: FileHandle = await open(temporary, 'wx')
  return {
    write: (bytes) => guarded(path, () => handle.appendFile(bytes)),
    commit: () =>
      guarded(path, async () => {
        await handle.datasync()
        await handle.close()
        await rename(temporary, path)
        await syncDirectory(dirname(path))
        return ''
      }),
    abort: async () => {
      await handle.close().catch(() => {})
      await unlink(temporary).catch(() => {})
    },
  }
}

async function missingParts(parts: readonly StagedPart[], at: (name: string) => string): Promise<StagedPart[]> {
  const lost: StagedPart[] = []
  for (const part of parts) {
    const sizes = [await fileSize(at(part.name)), await fileSize(at(part.finalName))]
    if (!sizes.includes(part.bytes)) lost.push(part)
  }
  return lost
}

async function publishAll(parts: readonly StagedPart[], at: (name: string) => string): Promise<void> {
  for (const part of parts) {
    try {
      await rename(at(part.name), at(part.finalName))
    } catch (error) {
      // Moved by the run that crashed before it could say so.
      if (!isMissing(error) || (await fileSize(at(part.finalName))) !== part.bytes) throw error
    }
  }
  const names = parts.flatMap((part) => [part.finalName, part.name])
  for (const directory of new Set(names.map((name) => dirname(at(name))))) await syncDirectory(directory)
}

async function withdrawAll(parts: readonly StagedPart[], at: (name: string) => string): Promise<void> {
  for (const part of parts) {
    // Still staged: then the file under the final name, if any, is not of this attempt.
    const staged = (await fileSize(at(part.name))) !== null
    await removeAll([at(staged ? part.name : part.finalName)])
  }
}

async function removeTree(root: string, name: string): Promise<void> {
  await rm(join(root, name), { recursive: true, force: true })
  for (let above = dirname(name); above !== '.'; above = dirname(above)) {
    try {
      await rmdir(join(root, above))
    } catch (error) {
      if (isMissing(error)) continue
      return // Not empty: other jobs are at work there.
    }
  }
}

async function fileSize(path: string): Promise<number | null> {
  return (await unlessMissing(stat(path), null))?.size ?? null
}

/** A rename or removal is durable only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

async function unlessMissing<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (isMissing(error)) return otherwise
    throw error
  }
}

const FULL = ['ENOSPC', 'EDQUOT']
const FORBIDDEN = ['EACCES', 'EPERM', 'EROFS']
const TRANSIENT = ['EIO', 'EBUSY', 'EMFILE', 'ENFILE', 'EAGAIN', 'ESTALE', 'ETIMEDOUT', 'ENOMEM']

/** Names the operating system's errors: is it worth trying again, and what can somebody do about it? */
async function guarded<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ConnectorError || !(error instanceof Error)) throw error
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const fault = (problem: string, advice: string, retriable: boolean) =>
      new ConnectorError(problem, `${name}: ${advice} (${error.message})`, { retriable, cause: error })
    if (FULL.includes(code)) throw fault('disk_full', 'the disk is full; free some space', true)
    if (FORBIDDEN.includes(code)) throw fault('path_not_writable', 'the service may not write there', false)
    if (TRANSIENT.includes(code)) throw fault('store_unavailable', 'the disk does not answer', true)
    // Its files were removed, and another process put one there before the directory was.
    if (code === 'ENOTEMPTY') throw fault('store_unavailable', 'somebody is writing there', true)
    if (code === 'ENOENT') throw fault('not_prepared', 'its directory is gone; was the attempt discarded?', false)
    throw fault('store_failed', 'the disk refused', false)
  }
}

// A small file replaced only if it still is what somebody has read: what no file system has a call for. The lock is a directory with
// the new file in it, made out of sight and moved into place, which fails while another lock lies there. The new file is moved out of
// it, and that is what unlocks. So a lock can be broken although its owner may only be slow: without its file he can do nothing.
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** A lock is held for two system calls. One that was not given up in this time is a dead process's, or slow enough to be refused. */
const STALE_MS = 10_000
const LOOK_EVERY_MS = 10

/** Whether the file had the expected bytes (null: was not there) and is now the one that `write` makes at the path that it is given. */
export async function replaceLocked(
  path: string,
  expected: Uint8Array | null,
  write: (path: string) => Promise<void>,
): Promise<boolean> {
  const lock = join(dirname(path), `.${basename(path)}.lock`)
  const name = randomBytes(6).toString('hex')
  const own = await mkdtemp(join(dirname(path), `.${basename(path)}.`))
  let replaced = false
  try {
    await write(join(own, name))
    await takeLock(lock, own)
    const there = await unlessMissing(readFile(path))
    const isExpected = there === null || expected === null ? there === expected : there.equals(expected)
    // Nothing to move: the lock was broken meanwhile.
    replaced = isExpected && (await unlessMissing(rename(join(lock, name), path).then(() => true))) === true
    return replaced
  } finally {
    if (!replaced) await unlessMissing(unlink(join(lock, name)))
    await rmdir(lock).catch(unlessGoneOrTaken)
    // It is the lock, or was never made one.
    if (!replaced) await rm(own, { recursive: true, force: true })
  }
}

async function takeLock(lock: string, own: string): Promise<void> {
  let seen = { name: '', since: 0 }
  while (!(await moved(own, lock))) {
    const [name] = (await unlessMissing(readdir(lock))) ?? []
    if (name === undefined) await rmdir(lock).catch(unlessGoneOrTaken)
    else if (name !== seen.name) seen = { name, since: Date.now() }
    else if (Date.now() - seen.since > STALE_MS) await unlessMissing(unlink(join(lock, name)))
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** Moves a directory to a place where no other one with a file in it is. */
async function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    (error) => {
      if (IS_TAKEN.includes(error.code)) return false
      throw error
    },
  )
}

const IS_TAKEN = ['ENOTEMPTY', 'EEXIST']

function unlessGoneOrTaken(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT' && !IS_TAKEN.includes(error.code ?? '')) throw error
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

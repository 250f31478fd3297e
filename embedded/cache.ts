// What is fetched once and used again by every later start: folders under .cache/, filled whole or not at all.
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'

const CACHE = resolve(import.meta.dirname, '..', '.cache')

/**
 * The folder of that name; `fill` makes it the first time. It fills a folder of our own, which is then renamed: two
 * processes may do this at once, and a half-filled folder is never used. Throws what `fill` throws.
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const home = join(CACHE, name)
  if (existsSync(home)) return home
  const partial = `${home}.partial-${process.pid}`
  await mkdir(partial, { recursive: true })
  try {
    await fill(partial)
    await rename(partial, home)
  } catch (error) {
    // Another process was faster: its folder is as good as ours.
    if (!existsSync(home)) throw error
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return home
}

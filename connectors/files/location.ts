// From `output.path` to a directory that the service may write, on disk or in an object store: what a request must not get
// past. Used by the sink's check, and again before anything is created, because a link may have been placed there in between.
import { constants } from 'node:fs'
import { access, lstat, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { Problem } from '../connector.ts'
import { isRelative, isS3Url, locateS3 } from './s3-location.ts'

const POINTER = '/output/path'

/** Directory under which attempts are staged; also what a request's path must not name. */
export const STAGING_ROOT = '_scoreline'

/** The absolute directory, without links, or the URL `s3://bucket/prefix/`; or why not. */
export type Located = { readonly directory: string } | { readonly problem: Problem }

/** Resolves `path` (a URL, an absolute path, or one relative to the first root) and checks that it is allowed. */
export async function locate(path: string | null, outputRoots: readonly string[]): Promise<Located> {
  if (path === null || path.trim() === '') return refuse('path_required', 'expected a directory, got no path')
  const allowed = outputRoots.length > 0 ? outputRoots.join(', ') : 'none: OUTPUT_ROOTS is empty'
  const forbidden = (why: string) => refuse('path_not_allowed', `${path}: ${why}. Allowed roots: ${allowed}`)
  const url = inFirstRoot(path, outputRoots[0])
  if (isS3Url(url)) {
    const located = locateS3(url, outputRoots)
    if ('fault' in located) return forbidden(located.fault)
    if (located.url.split('/').includes(STAGING_ROOT))
      return forbidden(`${STAGING_ROOT} is for the service's own files`)
    return { directory: located.url }
  }
  const text = plainPath(path)
  if (text === null)
    return forbidden('expected a directory without . or .. segments, encoded dots or control characters')
  const roots = outputRoots.flatMap(localRoot)
  if (roots[0] === undefined) return forbidden('no local root is configured')
  try {
    const directory = await realPath(resolve(roots[0], text))
    const realRoots = await Promise.all(roots.map(realPath))
    if (!realRoots.some((root) => isUnder(root, directory))) return forbidden('it is outside of the allowed roots')
    if (directory.split(sep).includes(STAGING_ROOT)) return forbidden(`${STAGING_ROOT} is for the service's own files`)
    return { directory }
  } catch (error) {
    // Links in a circle or to nowhere, directories that must not be looked into, names that are too long.
    return forbidden(`it cannot be resolved (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Whether the directory, or the one that it will be made in, can be written. Changes nothing. */
export async function writable(directory: string): Promise<Problem | null> {
  const ancestor = await deepestExisting(directory)
  if (!(await stat(ancestor)).isDirectory()) {
    return refuse('path_not_a_directory', `${ancestor} is a file; give a directory`).problem
  }
  try {
    await access(ancestor, constants.W_OK | constants.X_OK)
    return null
  } catch {
    return refuse('path_not_writable', `${ancestor}: the service may not write there`).problem
  }
}

/** A relative path in full where the first root is in an object store; there is no directory to resolve it against. */
function inFirstRoot(path: string, root = ''): string {
  return isS3Url(root) && isRelative(path) ? root + path : path
}

function refuse(code: string, detail: string): { problem: Problem } {
  return { problem: { code, pointer: POINTER, detail } }
}

/** The path that a user's text means, or null when it hides another. */
function plainPath(path: string): string | null {
  // Percent signs only ever hide something here; a directory name does not need an encoded dot, slash or backslash.
  if (/%(2e|2f|5c|25|[01][0-9a-f]|7f)/i.test(path) || hasControl(path) || path.includes('\\')) return null
  let text = path
  if (/^file:/i.test(path)) {
    const local = /^file:\/\/(?:localhost)?(\/.*)$/i.exec(path)?.[1]
    if (local === undefined) return null
    try {
      text = decodeURIComponent(local)
    } catch {
      return null
    }
  } else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) return null
  return hasControl(text) || text.split('/').some((segment) => segment === '..' || segment === '.') ? null : text
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 32 || text.charCodeAt(i) === 127) return true
  return false
}

function localRoot(root: string): string[] {
  return /^file:\/\//i.test(root) ? [decodeURIComponent(new URL(root).pathname)] : root.startsWith('/') ? [root] : []
}

function isUnder(root: string, directory: string): boolean {
  return directory === root || directory.startsWith(root === sep ? sep : root + sep)
}

/** The path with all links resolved, also when its last directories are not there yet. */
async function realPath(path: string): Promise<string> {
  const normal = resolve(path)
  const ancestor = await deepestExisting(normal)
  return join(await realpath(ancestor), normal.slice(ancestor.length))
}

async function deepestExisting(path: string): Promise<string> {
  try {
    // Not `stat`: a link that leads nowhere exists, and must fail in `realpath` instead of passing as a new directory.
    await lstat(path)
    return path
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || basename(path) === '') throw error
    return deepestExisting(dirname(path))
  }
}

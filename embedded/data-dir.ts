// A data directory for a service that leaves nothing behind: the demo's, the benchmark's, the tests'.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes a new directory under the system's temporary one; `remove` deletes it with everything in it. */
export async function temporaryDataDir(name: string): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `scoreline-${name}-`))
  // Under root, Postgres runs as another user, who must be able to pass through to its own folder below.
  await chmod(path, 0o711)
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

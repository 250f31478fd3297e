// Fetches the files of a result. A file has its name only when it is whole and its SHA-256 is the manifest's.
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { CliError, type Client, EXIT } from './client.ts'

interface RemoteFile {
  readonly name: string
  readonly sha256: string
  /** Relative to the service, or a link into an object store. */
  readonly url: string
}

/** The paths of the files, in their order. Throws `CliError` when one cannot be written, or is not what the manifest says. */
export async function downloadAll(client: Client, files: readonly RemoteFile[], folder: string): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw new CliError(EXIT.usage, `cannot make ${folder}: ${(error as Error).message}`)
  }
  const saved: string[] = []
  for (const file of files) saved.push(await download(client, file, folder))
  return saved
}

async function download(client: Client, { name, sha256, url }: RemoteFile, folder: string): Promise<string> {
  const path = join(folder, basename(name))
  const partial = `${path}.partial`
  const response = await client.open(url)
  const hash = createHash('sha256')
  try {
    await pipeline(
      Readable.fromWeb(response.body as ReadableStream<Uint8Array>),
      async function* (source: AsyncIterable<Uint8Array>) {
        for await (const part of source) {
          hash.update(part)
          yield part
        }
      },
      createWriteStream(partial),
    )
    const got = hash.digest('hex')
    if (got !== sha256)
      throw new CliError(EXIT.failed, `${name}: expected SHA-256 ${sha256}, got ${got}; fetch it again`)
    await rename(partial, path)
    return path
  } finally {
    await rm(partial, { force: true })
  }
}

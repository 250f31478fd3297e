// Which store a checked path is in: the disk, or for an `s3://` URL an object store, whose client all results share.
import type { ConnectorSettings } from '../connector.ts'
import { openLocalStore } from './local-store.ts'
import { isS3Url } from './s3-location.ts'
import type { OpenStore } from './store.ts'

export interface FileStores {
  readonly open: OpenStore
  /** Lets go of connections; nothing may be opened afterwards. */
  close(): Promise<void>
}

export function fileStores(settings: ConnectorSettings): FileStores {
  let s3: Promise<{ open: OpenStore; close(): void }> | null = null
  return {
    open: async (directory) => {
      if (!isS3Url(directory)) return openLocalStore(directory)
      s3 ??= connect(settings)
      return (await s3).open(directory)
    },
    close: async () => {
      ;(await s3)?.close()
    },
  }
}

/** The SDK is loaded at its first use: it costs every process 0.12 s and 35 MB, and most never write a file. */
async function connect({ s3 }: ConnectorSettings): Promise<{ open: OpenStore; close(): void }> {
  const [{ createS3Client }, { openS3Store }] = await Promise.all([import('./s3-bucket.ts'), import('./s3-store.ts')])
  const client = createS3Client(s3)
  return { open: (url) => openS3Store(client, url), close: () => client.destroy() }
}

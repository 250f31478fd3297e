// Model bytes by content: the API puts them at registration, scorers get them before a job's first chunk. The record on
// models.v1 carries the name and the hash, so any process that sees the same root finds the same bytes.
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ModelError } from './model.ts'

export interface StoredModel {
  /** Lower-case hexadecimal. */
  readonly sha256: string
  /** Name within the store, without the root: the store may be mounted elsewhere on another machine. */
  readonly location: string
}

export interface ModelStore {
  /** The bytes are durable when it returns. Putting the same bytes again changes nothing, and mends a damaged copy. */
  put(bytes: Uint8Array): Promise<StoredModel>
  /**
   * Throws `ModelError`: `model_missing`; `model_corrupt` when the bytes do not have that hash; `model_store_unavailable` when
   * the store does not answer, which may pass.
   */
  get(location: string, sha256: string): Promise<Uint8Array>
}

/** `root` is a directory or a `file://` URL; it need not exist yet. */
export async function openModelStore(root: string): Promise<ModelStore> {
  const directory = directoryOf(root)
  await mkdir(directory, { recursive: true })
  return {
    put: (bytes) => put(directory, bytes),
    get: (location, sha256) => get(directory, location, sha256),
  }
}

function directoryOf(root: string): string {
  if (root.startsWith('file://')) return fileURLToPath(root)
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(root)?.[1]
  if (scheme === undefined) return resolve(root)
  throw new ModelError(
    'model_store_unsupported',
    `MODEL_STORE: expected a directory or a file:// URL, got ${root}; ${scheme}:// is not supported yet, mount a shared directory instead`,
  )
}

async function put(directory: string, bytes: Uint8Array): Promise<StoredModel> {
  const sha256 = hash(bytes)
  const location = `${sha256}.onnx`
  const path = join(directory, location)
  const present = await readIfThere(path)
  if (present && hash(present) === sha256) return { sha256, location }

  const temporary = join(directory, `.${sha256}.${randomUUID()}.tmp`)
  try {
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw unavailable(directory, error)
  }
  // The rename itself must survive a power cut: it is an entry of the directory, which has a sync of its own.
  const parent = await open(dirname(path), 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
  return { sha256, location }
}

async function get(directory: string, location: string, sha256: string): Promise<Uint8Array> {
  // A location comes from a Kafka record; one that names no file of the store must not lead out of it.
  if (!/^[0-9a-f]{64}\.onnx$/.test(location)) {
    throw new ModelError('model_missing', `expected a location like <sha256>.onnx, got ${location}`)
  }
  const bytes = await readIfThere(join(directory, location))
  if (!bytes) {
    await requireStore(directory)
    throw new ModelError(
      'model_missing',
      `model ${location} is not in the store ${directory}; API and scorers need the same MODEL_STORE, or register it again`,
    )
  }
  const actual = hash(bytes)
  if (actual !== sha256) {
    throw new ModelError(
      'model_corrupt',
      `model ${location}: expected sha256 ${sha256}, got ${actual} (${bytes.length} bytes); register it again`,
    )
  }
  return bytes
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unavailable(dirname(path), error)
  }
}

/**
 * A store without a single model is a directory whose volume is not mounted: the model that is looked for was put there, like
 * any other, before its record was written.
 */
async function requireStore(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error) => {
    throw unavailable(directory, error)
  })
  if (!names.some((name) => name.endsWith('.onnx')))
    throw unavailable(directory, new Error('it is empty; is its volume mounted?'))
}

function unavailable(directory: string, error: unknown): ModelError {
  const message = `the model store ${directory} does not answer: ${(error as Error).message}`
  return new ModelError('model_store_unavailable', message, { cause: error })
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

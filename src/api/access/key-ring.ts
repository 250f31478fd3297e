// The API keys that are valid now: those of the settings, and those of a file that is read again when it changes, so that
// keys come and go without a restart.
import { readFile, stat } from 'node:fs/promises'
import type { Logger } from 'pino'
import { ConfigError } from '../../config.ts'
import { type ApiKey, hashOf, parseApiKeys } from './api-key.ts'

/** A change of the file counts after this long at the latest. */
const LOOK_AGAIN_MS = 1_000

export class KeyRing {
  readonly #fixed: readonly ApiKey[]
  readonly #file: string | null
  readonly #log: Logger
  /** Hash → key. A lookup by hash tells nothing by its timing: who could choose the hash would know the key. */
  #keys = new Map<string, ApiKey>()
  /** What the file looked like when it was last read. */
  #seen = ''
  #lookAgainAt = 0
  #looking: Promise<void> | null = null

  private constructor(fixed: readonly ApiKey[], file: string | null, log: Logger) {
    this.#fixed = fixed
    this.#file = file
    this.#log = log
  }

  /** Throws `ConfigError` when the file cannot be used. */
  static async open(fixed: readonly ApiKey[], file: string | null, log: Logger): Promise<KeyRing> {
    const ring = new KeyRing(fixed, file, log)
    // First, so that what is written while the keys are read is seen at the next look.
    ring.#seen = file === null ? '' : await signatureOf(file)
    ring.#use(file === null ? [] : await readKeys(file))
    ring.#lookAgainAt = Date.now() + LOOK_AGAIN_MS
    return ring
  }

  /** Whether requests need a key at all. A file without keys lets nobody in. */
  get isGuarded(): boolean {
    return this.#fixed.length > 0 || this.#file !== null
  }

  /** The key with its rights, also if it has expired; undefined if it is none of ours. */
  async find(key: string): Promise<ApiKey | undefined> {
    if (this.#file !== null && Date.now() >= this.#lookAgainAt) {
      this.#looking ??= this.#look(this.#file).finally(() => {
        this.#looking = null
      })
      await this.#looking
    }
    return this.#keys.get(hashOf(key))
  }

  async #look(file: string): Promise<void> {
    const signature = await signatureOf(file)
    if (signature !== this.#seen) {
      this.#seen = signature
      try {
        this.#use(await readKeys(file))
        this.#log.info({ file, keys: this.#keys.size }, 'API keys were read again')
      } catch (error) {
        // A file that is half written, or gone for a moment, must not lock everybody out.
        this.#log.error({ err: error }, 'the API keys of before stay valid')
      }
    }
    this.#lookAgainAt = Date.now() + LOOK_AGAIN_MS
  }

  #use(keys: readonly ApiKey[]): void {
    this.#keys = new Map([...this.#fixed, ...keys].map((key) => [key.hash, key]))
  }
}

async function readKeys(file: string): Promise<ApiKey[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`API_KEYS_FILE: ${file} cannot be read (${(error as Error).message})`])
  }
  const parsed = parseApiKeys(text)
  if ('problems' in parsed) throw new ConfigError(parsed.problems.map((problem) => `API_KEYS_FILE: ${problem}`))
  return parsed.keys
}

/** Differs when the file is written or replaced; a link that leads elsewhere (a Kubernetes secret) is followed. */
async function signatureOf(file: string): Promise<string> {
  try {
    const { mtimeNs, size, ino } = await stat(file, { bigint: true })
    return `${mtimeNs} ${size} ${ino}`
  } catch (error) {
    return (error as Error).message
  }
}

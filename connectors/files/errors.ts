// Rows of a part that could not be scored, as lines of JSON beside the result: `_errors/part-….jsonl`. Readers of the
// result take a name with an underscore for nothing of theirs.
import type { FailedRow } from '../../topics/scored.ts'
import type { SinkJob } from '../connector.ts'
import { type PartRecord, partNames } from './staging.ts'
import type { FileStore } from './store.ts'

const ERRORS = '_errors'

/** Lines of one file: it is held in memory, and a person will not read more. The dead letters have all. */
const MAX_LINES = 10_000

/** The failed rows of the part that is being written. */
export class PartErrors {
  readonly #job: SinkJob
  readonly #lane: number
  #lines: string[] = []
  #omitted = 0

  constructor(job: SinkJob, lane: number) {
    this.#job = job
    this.#lane = lane
  }

  add(chunk: number, failed: readonly FailedRow[]): void {
    for (const { row, reason, input } of failed) {
      if (this.#lines.length === MAX_LINES) {
        this.#omitted++
        continue
      }
      const { keyColumn } = this.#job
      const key = keyColumn === null ? null : (input[keyColumn] ?? null)
      this.#lines.push(JSON.stringify({ key, reason, input, lane: this.#lane, chunk, row }))
    }
  }

  /** Puts them beside the staged part, if there are any. */
  async stage(store: FileStore, k: number): Promise<void> {
    if (!this.#lines.length) return
    const lines = this.#omitted ? [...this.#lines, JSON.stringify({ omitted: this.#omitted })] : this.#lines
    await store.put(errorNames(this.#job, this.#lane, k).staged, Buffer.from(`${lines.join('\n')}\n`))
  }
}

/** Puts the staged errors of these parts beside the result. */
export async function publishErrors(store: FileStore, job: SinkJob, parts: readonly PartRecord[]): Promise<void> {
  const failing = parts.filter((part) => part.failedRows > 0)
  if (!failing.length) return
  await store.createDirectory(ERRORS)
  for (const { lane, k } of failing) {
    const { staged, final } = errorNames(job, lane, k)
    const bytes = await store.read(staged)
    if (bytes !== null) await store.put(final, bytes)
  }
}

/** Removes errors beside the result, of those jobs that `gone` says. */
export async function removeErrors(store: FileStore, gone: (resultId: string) => boolean): Promise<void> {
  const there = await store.list(ERRORS)
  const unwanted = there.filter((name) => gone(/^part-\d+-\d+-(.+)\.jsonl$/.exec(name)?.[1] ?? ''))
  if (!unwanted.length) return
  await store.remove(unwanted.map((name) => `${ERRORS}/${name}`))
  if (unwanted.length === there.length) await store.removeDirectory(ERRORS)
}

/** Removes the directory if nothing is in it: a crash may have come between the last file and it. */
export async function removeEmptyErrors(store: FileStore): Promise<void> {
  if (!(await store.list(ERRORS)).length) await store.removeDirectory(ERRORS)
}

function errorNames(job: SinkJob, lane: number, k: number): { staged: string; final: string } {
  const { record, final } = partNames(job, lane, k)
  const name = final.slice(0, final.indexOf(job.resultId) + job.resultId.length)
  return { staged: record.replace(/json$/, 'errors.jsonl'), final: `${ERRORS}/${name}.jsonl` }
}

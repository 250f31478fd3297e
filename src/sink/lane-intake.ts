// What a sink accepts of one job's attempt in one lane, and what may be committed of it. This is where at-least-once
// becomes exactly once: only the next seq is let in, lower ones are duplicates, a gap is a loud failure. Pure.
import type { ChunkHeader } from '../../topics/chunks.ts'

/** `take`: write it; `duplicate`: drop it; `gap`: chunks are missing, the job must fail. */
export type Verdict = 'take' | 'duplicate' | 'gap'

export class LaneIntake {
  #nextSeq: number
  #done: boolean
  /** Offsets of records that were taken and are not durable, oldest first; a lane's end counts as its last seq. */
  #open: { readonly seq: number; readonly offset: bigint }[] = []

  /** `chunks` are durable already, and the end too if `done`. */
  constructor(durable: { readonly chunks: number; readonly done: boolean }) {
    this.#nextSeq = durable.chunks
    this.#done = durable.done
  }

  /** Judges a record and, if it is to be taken, counts it in. An end must come after exactly the chunks it names. */
  judge(header: ChunkHeader, offset: bigint): Verdict {
    if (this.#done) return 'duplicate'
    // An end that names fewer chunks than there were belongs to other totals than ours: as loud as a gap.
    if (header.seq < this.#nextSeq) return header.type === 'end' ? 'gap' : 'duplicate'
    if (header.seq > this.#nextSeq) return 'gap'
    if (header.type === 'end') this.#done = true
    else this.#nextSeq++
    this.#open.push({ seq: header.seq, offset })
    return 'take'
  }

  /** Everything before `chunks` is durable, and the end too if `done`. */
  durable(chunks: number, done: boolean): void {
    this.#open = done ? [] : this.#open.filter(({ seq }) => seq >= chunks)
  }

  /** Offset of the oldest record that must come again after a crash; null if none must. */
  oldestOpen(): bigint | null {
    return this.#open[0]?.offset ?? null
  }

  /** What is expected next, for messages. */
  get nextSeq(): number {
    return this.#nextSeq
  }
}

// What the sink contract must know of a destination: how to open it, where to write, how to look at it from outside, and what is
// particular to it. One such world for each destination, in its own test folder; what a world leaves out is not tested there.
import type { Sink, SinkJob } from '../../../connectors/connector.ts'
import type { Column } from '../../../topics/columns.ts'
import type { JobOutput, WriteMode } from '../../../topics/jobs.ts'
import type { Value } from '../batches.ts'

/** Column → value, NULL as null. Any usual spelling will do (`true`, `t`): values are compared, not texts. Bytes come as hex. */
export type SeenRow = Readonly<Record<string, unknown>>

/** `key_columns` of the outputs in mode `upsert`. */
export const UPSERT_KEY = ['lane', 'seq', 'row'] as const

export interface SinkWorld {
  /**
   * - `whole`: readers see a result when it is finalised, all of it; a higher attempt replaces what a lower one staged.
   * - `as-written`: readers see what is durable. An attempt that comes after rows are out is refused, because they cannot be taken back.
   */
  readonly visibility: 'whole' | 'as-written'
  /** The modes that the destination has; `check` must refuse the others. */
  readonly modes: readonly WriteMode[]
  /** `chunkRows` of the jobs: where a destination cuts files by it, a value with which they are cut after every chunk or two. */
  readonly chunkRows: number
  /** While an overwrite goes on there may be no result at all (a directory cannot be swapped); otherwise there always is the old or the new. */
  readonly overwriteGap?: boolean

  /** The sink as another process has it that has just started. The contract closes it. */
  openSink(): Sink
  /** An output in a place of its own: nothing has ever been written there. In mode `upsert` its key is `UPSERT_KEY`. */
  freshOutput(mode: WriteMode): JobOutput
  /** What goes when a result expires: the `files` that its job wrote, or `nothing`, for a table or topic is the user's. */
  readonly expires: 'files' | 'nothing'
  /** What anybody can read there now, with a reader that the project did not write; null when there is no result. */
  read(output: JobOutput): Promise<readonly SeenRow[] | null>
  /** Names of whatever is there that is no result: staging of any attempt, entries in ledgers, unfinished uploads. */
  leftovers(job: SinkJob): Promise<readonly string[]>

  /** Runs of the property test; each is a whole job, which takes some destinations long. */
  readonly scheduleRuns?: number

  /** A value that `read` gave, in the usual spelling of its column's type, where a reader cannot know that type. */
  spell?(column: Column, seen: unknown): unknown
  /** Whether readers see NULL for the value, because the format has one null for both. */
  seenAsNull?(column: Column, value: Value): boolean
  /** Whether the type cannot hold the value there: such a chunk must be refused by name, not bent. */
  refuses?(column: Column, value: Value): boolean
  /** The whole result, byte for byte, where a replay must give the same bytes. */
  fingerprint?(output: JobOutput): Promise<unknown>
  /**
   * A sink that dies when it has changed something at the destination for the `step`-th time, before it hears of that, as if its process
   * were killed (for step 0, before the first change): every call on it rejects from then on. `died` says whether it got so far.
   */
  dyingSink?(step: number): Promise<{ readonly sink: Sink; died(): boolean }>
  /** Of the steps to die at, every how many are tried: where each try takes long. */
  readonly crashEvery?: number
  /** Ways in which the destination can fail for a while, by name: a disk that is full, a server that is busy or hangs up. */
  failing?: Readonly<Record<string, (mode: WriteMode) => Promise<Failing>>>
  /** Makes the place unfit for good, as somebody else may do it: to finalise into it must fail with a reason. */
  ruin?(output: JobOutput): Promise<void>
}

export interface Failing {
  readonly sink: Sink
  readonly output: JobOutput
  /** From now on nothing can be written. */
  fail(): Promise<void>
  /** It works again. */
  mend(): Promise<void>
}

/** A world in the suite's hands: it knows which sinks are open. */
export interface OpenWorld extends SinkWorld {
  /** Closes what was opened, as at the end of every test: each sink may hold connections. */
  closeSinks(): Promise<void>
}

// The contracts of the outside world: a source gives a query's rows as columns, a sink makes scored chunks durable
// exactly once. Connectors know nothing of Kafka's consumers or of a job's states; the roles in src/ call them.
import type { Column, ColumnBatch } from '../topics/columns.ts'
import type { Destination, JobInput, JobOutput } from '../topics/jobs.ts'
import type { FailedRow } from '../topics/scored.ts'
import type { KafkaSecurity } from './kafka/security.ts'

/** What connectors need to know of the service's settings. */
export interface ConnectorSettings {
  /** Connection name → database URL; `warehouse` is the default one. */
  readonly connections: Readonly<Record<string, string>>
  /** Roots under which file results may lie: `file:///…` or `s3://bucket/prefix`, each ending in `/`. */
  readonly outputRoots: readonly string[]
  /** For `s3://` results; credentials come from the AWS chain. Without an endpoint, AWS itself. */
  readonly s3: { readonly endpoint: string | null; readonly region: string }
  /** For `kafka` results. */
  readonly kafka: {
    readonly brokers: readonly string[]
    readonly topicPrefix: string
    readonly registryUrl: string | null
    readonly security?: KafkaSecurity
  }
}

/** A fault in a user's request. `pointer` is the JSON pointer of the field in the request's body. */
export interface Problem {
  /** Stable, snake_case, e.g. `table_not_found`. */
  readonly code: string
  readonly pointer: string
  /** What was expected, what came, and what to do about it. */
  readonly detail: string
}

/**
 * What a connector throws. `retriable`: the same call may succeed later (connection lost, deadlock, disk busy), so the
 * caller backs off; otherwise the job fails with `code` and `message`.
 */
export class ConnectorError extends Error {
  readonly code: string
  readonly retriable: boolean

  constructor(code: string, message: string, options: { retriable: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ConnectorError'
    this.code = code
    this.retriable = options.retriable
  }
}

/** Number of rows of a query; `estimated` when counting took too long and the planner's guess stands in. */
export interface RowCount {
  readonly rows: bigint
  readonly estimated: boolean
}

/** Reads in the order of a column in which no value comes twice, so that a read can go on where another one stopped. */
export interface Keyset {
  readonly column: string
  /** Only rows beyond this value, given as the source writes it; null for all. */
  readonly after: string | null
}

export interface ReadOptions {
  /** The columns that `describe` gave; a query that now gives others throws `schema_changed`. */
  readonly columns: readonly Column[]
  /** Rows of each batch; only the last may have fewer. */
  readonly chunkRows: number
  /** Aborting ends the query on the server. */
  readonly signal: AbortSignal
  /** Without it, rows come in whatever order the database finds best. */
  readonly keyset?: Keyset
}

/** Where rows come from. Calls are independent of each other and may run at the same time. */
export interface Source {
  /**
   * Checks the query without running it and names its columns and types. Faults of the request come back as problems
   * (the pointers are `/input/…`); a database that is away throws `ConnectorError`.
   */
  describe(input: JobInput): Promise<{ columns: Column[] } | { problems: Problem[] }>
  /** Counts the rows, for at most `limitMs`; then estimates. */
  count(input: JobInput, limitMs: number): Promise<RowCount>
  /**
   * Runs the query once, in one snapshot, and yields its rows in order. Back-pressure: reads no faster than it is consumed.
   * With a keyset, a NULL or repeated key throws `key_null` or `key_not_unique` before the batch that would show it.
   */
  read(input: JobInput, options: ReadOptions): AsyncIterable<ColumnBatch>
  /** The same query for the rows only whose `column` (one of the query's) has one of these values, as dead letters give them. */
  forKeys(input: JobInput, column: Column, keys: readonly string[]): Promise<JobInput>
  /** A query that gives just these rows; cells as dead letters give them, null for NULL. */
  ofRows(input: JobInput, columns: readonly Column[], rows: readonly RowText[]): JobInput
  close(): Promise<void>
}

/** A row's cells as text, as the source would write them. */
export type RowText = Readonly<Record<string, string | null>>

/** One attempt of a job, as a sink sees it. */
export interface SinkJob {
  readonly jobId: string
  /** Names this output of the job: staging, ledgers and part files carry it. Letters, digits, `.`, `_` and `-`. */
  readonly resultId: string
  readonly attempt: number
  readonly output: JobOutput
  /** Columns of every scored chunk, in order. */
  readonly columns: readonly Column[]
  /** The column whose value names a row (`input.key_column`), if the job has one; a topic's records are keyed by it. */
  readonly keyColumn: string | null
  /** Rows of a full chunk; file boundaries follow from it. */
  readonly chunkRows: number
  readonly lanes: readonly number[]
  /** For the manifest. */
  readonly model: { readonly id: string; readonly version: number; readonly sha256: string }
}

/** A scored chunk in the order of its lane; `batch` has the rows that were scored, `failed` the others. */
export interface ScoredChunk {
  readonly seq: number
  readonly batch: ColumnBatch
  readonly failed: readonly FailedRow[]
}

/**
 * How far a lane of an attempt is durable: chunks 0 … `chunks - 1`, with `rows` written and `failedRows` left out.
 * `done` when the lane's end is durable too.
 */
export interface LanePosition {
  readonly chunks: number
  readonly rows: bigint
  readonly failedRows: bigint
  readonly bytes: bigint
  readonly done: boolean
}

export const LANE_START: LanePosition = { chunks: 0, rows: 0n, failedRows: 0n, bytes: 0n, done: false }

/**
 * Writes one lane of one attempt. The sink calls it from one place at a time, with chunks in order and without a gap,
 * beginning at `position.chunks`. Two processes may hold a writer of the same lane for a moment (a rebalance): what they
 * write must not double, so a writer that finds that another got further throws `ConnectorError('lane_taken', retriable)`.
 * A chunk that does not follow is refused by `ConnectorError('chunk_gap', not retriable)`. After any rejected `write` or `end` the
 * outcome may be unknown: close the writer and open the lane again.
 */
export interface LaneWriter {
  /** What was durable when the lane was opened, then what `write` and `end` last returned. */
  readonly position: LanePosition
  /**
   * Takes chunks; they may wait in memory or in an unfinished file. Returns what is durable now. `last`: none will come after them,
   * and a writer that can do both in one step may do what `end` does (then the position is `done`); who writes calls `end` else.
   */
  write(chunks: readonly ScoredChunk[], last?: boolean): Promise<LanePosition>
  /** The lane has no more chunks. Everything is durable, and `done`, when it returns. */
  end(): Promise<LanePosition>
  /** Lets go of memory and handles; what is not durable is forgotten and will come again. Never throws. */
  close(): Promise<void>
}

/** A finished result: what a job's status and `GET …/results` show of it. */
export interface SinkResult {
  readonly rows: bigint
  readonly bytes: bigint
  /** Where it is: a qualified table name, a directory URL, a topic. */
  readonly location: string
}

/** A link that anybody can use until `expiresAt` (ms since 1970). */
export interface SignedUrl {
  readonly href: string
  readonly expiresAt: number
}

/** A file of a result, by its name in the result's directory. */
export interface ResultFile {
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
  /** Where the store gives files by itself; else the file is for this machine to give. */
  readonly link?: SignedUrl
}

/** What a finished result of files consists of. */
export interface ResultDescription {
  readonly format: string
  readonly schema: readonly { readonly name: string; readonly type: string }[]
  readonly files: readonly ResultFile[]
}

/** The files of finished results, for downloads. */
export interface ResultFiles {
  /** Null when the result is not there any more, or another job has replaced it. */
  describe(job: SinkJob): Promise<ResultDescription | null>
  /** Where on this machine a file is which `describe` lists without a link; null for any other name. */
  pathOf(job: SinkJob, name: string): Promise<string | null>
}

/**
 * A destination. `check` is called before a job is accepted, `prepare` and `finalise` by the controller, `openLane` by
 * sinks; all but `check` are idempotent, for a crash may repeat them.
 */
export interface Sink {
  readonly destinations: readonly Destination[]
  /** Of a destination whose results are files. */
  readonly files?: ResultFiles
  /** Is the destination there, allowed, and fit for these columns? Changes nothing. Pointers are `/output/…`. */
  check(output: JobOutput, columns: readonly Column[], input: JobInput): Promise<Problem[]>
  /** Makes room for one attempt: staging that nobody reads. Also checks again what a request must not get past. */
  prepare(job: SinkJob): Promise<void>
  /** Opens a lane where its durable position is; creates nothing if `prepare` has not run (then it throws). */
  openLane(job: SinkJob, lane: number): Promise<LaneWriter>
  /**
   * All lanes are done: makes the result visible as a whole. Checks that the staged rows are `rows`, or throws
   * `ConnectorError('rows_lost')`. When it returns, readers see the result, also if it had already run. `endBy` (ms since 1970)
   * is the job's deadline: a destination that can be made to give up by then, with nothing visible, should.
   */
  finalise(job: SinkJob, rows: bigint, endBy?: number): Promise<SinkResult>
  /**
   * Removes what an attempt left behind that is no result. Harmless after `finalise`; a `finalise` after it makes nothing visible. Of
   * one that was stopped half-way it may make the result instead, as a whole.
   */
  discard(job: SinkJob): Promise<void>
  /**
   * The time of a finished job is up: removes the files that it wrote, and what was noted of it, for a job of the same id may
   * follow. A user's table or topic is never touched.
   */
  expire(job: SinkJob): Promise<void>
  close(): Promise<void>
}

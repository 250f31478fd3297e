// One output of a job's attempt in one lane of a sink: its writer, what was accepted of it, and its entry in the ledger.
import { ConnectorError, type LanePosition, type LaneWriter, type ScoredChunk } from '../../connectors/connector.ts'
import type { ChunkHeader } from '../../topics/chunks.ts'
import type { Column, ColumnBatch, Vector } from '../../topics/columns.ts'
import type { JobOutput, JobSnapshot } from '../../topics/jobs.ts'
import { decodeColumns } from '../../topics/payload.ts'
import type { FailedRow } from '../../topics/scored.ts'
import { sinkJob } from '../job/sink-job.ts'
import type { Lane, LaneRecord } from '../kafka/lane.ts'
import { Ledger } from '../kafka/ledger.ts'
import type { ProcessContext } from '../process.ts'
import { LaneIntake } from './lane-intake.ts'

export class LaneJob {
  readonly job: JobSnapshot
  /** Which of the job's outputs, from 0. */
  readonly output: number
  readonly #lane: Lane
  /** Where the output's columns are in a scored chunk; null when it takes all of them as they are. */
  readonly #selection: readonly number[] | null
  readonly #writer: LaneWriter
  readonly #intake: LaneIntake
  readonly #ledger: Ledger
  #chunks: ScoredChunk[] = []
  #ended = false
  #told = false

  private constructor(job: JobSnapshot, output: number, lane: Lane, writer: LaneWriter, context: ProcessContext) {
    this.job = job
    this.output = output
    this.#lane = lane
    this.#selection = selectionOf(job, output)
    this.#writer = writer
    this.#intake = new LaneIntake(writer.position)
    this.#ledger = new Ledger(context, job, 'sink', lane.partition, output)
  }

  /** Opens the lane where its durable position is. */
  static async open(job: JobSnapshot, output: number, lane: Lane, context: ProcessContext): Promise<LaneJob> {
    const destination = (job.outputs[output] as JobOutput).destination
    const sink = context.connectors.sinkFor(destination)
    if (!sink)
      throw new ConnectorError('destination_not_supported', `no connector for ${destination}`, { retriable: false })
    const writer = await sink.openLane(sinkJob(job, output), lane.partition)
    return new LaneJob(job, output, lane, writer, context)
  }

  /** Takes a record in. Throws `ConnectorError('chunks_lost')` when one before it is missing. */
  accept(header: ChunkHeader, record: LaneRecord, failed: readonly FailedRow[]): void {
    const expected = this.#intake.nextSeq
    const verdict = this.#intake.judge(header, record.offset)
    if (verdict === 'duplicate') return
    if (verdict === 'gap') {
      const message = `lane ${this.#lane.partition}: expected chunk ${expected}, got ${header.seq}; records between them were lost (did the topic's retention overtake the sink?)`
      throw new ConnectorError('chunks_lost', message, { retriable: false })
    }
    if (header.type === 'end') {
      this.#ended = true
      return
    }
    this.#chunks.push({
      seq: header.seq,
      batch: selected(decodeColumns(record.value ?? new Uint8Array(0)), this.#selection),
      failed,
    })
  }

  /** Rows that were taken in and wait to be written. */
  get taken(): number {
    return this.#chunks.reduce((sum, { batch }) => sum + batch.rows, 0)
  }

  /** Writes what was taken in; the offset of the oldest record that is not durable after it, if any. */
  async write(): Promise<bigint | null> {
    let position = this.#writer.position
    if (this.#chunks.length) position = await this.#writer.write(this.#chunks, this.#ended)
    this.#chunks = []
    if (this.#ended && !position.done) position = await this.#writer.end()
    this.#intake.durable(position.chunks, position.done)
    return this.#intake.oldestOpen()
  }

  /** Nothing of this lane is outstanding any more, and the ledger knows. */
  get finished(): boolean {
    return this.#writer.position.done && this.#told
  }

  /** Tells the ledger what is durable. */
  async report(offset: bigint): Promise<void> {
    const totals = toTotals(this.#writer.position, offset)
    if (!this.#writer.position.done) {
      this.#ledger.report(totals)
    } else if (!this.#told) {
      await this.#ledger.done(totals)
      this.#told = true
    }
  }

  /** Tells the ledger, if the lane was done when it was opened. */
  async tellIfDone(): Promise<void> {
    if (this.#writer.position.done) await this.report(-1n)
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }
}

function selectionOf(job: JobSnapshot, output: number): number[] | null {
  const scored = job.plan?.scored_columns ?? []
  const wanted = job.plan?.output_columns[output] ?? []
  if (wanted.length === scored.length && wanted.every((column, i) => column.name === scored[i]?.name)) return null
  return wanted.map(({ name }) => scored.findIndex((column) => column.name === name))
}

function selected(batch: ColumnBatch, selection: readonly number[] | null): ColumnBatch {
  if (selection === null) return batch
  return {
    rows: batch.rows,
    columns: selection.map((i) => batch.columns[i] as Column),
    vectors: selection.map((i) => batch.vectors[i] as Vector),
  }
}

function toTotals(
  position: LanePosition,
  offset: bigint,
): { offset: bigint; chunks: bigint; rows: bigint; failedRows: bigint; bytes: bigint } {
  return {
    offset,
    chunks: BigInt(position.chunks),
    rows: position.rows,
    failedRows: position.failedRows,
    bytes: position.bytes,
  }
}

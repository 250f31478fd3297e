// A job that begins is read and scored before there is something to write: its outputs in a lane are opened meanwhile. Each once; what
// fails is opened again when there is something to write, and is told of then.
import type { JobSnapshot } from '../../topics/jobs.ts'
import type { SinkKind } from '../../topics/scored.ts'
import type { Lane } from '../kafka/lane.ts'
import type { ProcessContext } from '../process.ts'
import { LaneJob } from './lane-job.ts'
import { isOver, outputsOf } from './lane-outputs.ts'

interface EarlyLane {
  readonly job: JobSnapshot
  /** Null when it was taken. */
  opened: Promise<LaneJob | null> | null
}

export class EarlyLanes {
  readonly #lane: Lane
  readonly #kind: SinkKind
  readonly #context: ProcessContext
  /** By `job/attempt/output`, until the attempt is over. */
  readonly #lanes = new Map<string, EarlyLane>()
  readonly #onJob = (job: JobSnapshot): void => this.#look(job)

  /** From now on, for as long as the lane is owned. */
  constructor(lane: Lane, kind: SinkKind, context: ProcessContext) {
    this.#lane = lane
    this.#kind = kind
    this.#context = context
    // To open a topic's lane fences whoever else has it: a process that was paused must do that no sooner than it has to.
    if (kind !== 'kafka') context.views.changes.on('job', this.#onJob)
  }

  /** The job's output, opened already or now. */
  async open(job: JobSnapshot, output: number): Promise<LaneJob> {
    const early = this.#lanes.get(keyOf(job, output))
    const opened = early?.opened
    if (early) early.opened = null
    return (await opened) ?? LaneJob.open(job, output, this.#lane, this.#context)
  }

  /** Closes what nobody took. */
  close(): void {
    this.#context.views.changes.off('job', this.#onJob)
    for (const key of [...this.#lanes.keys()]) this.#forget(key)
  }

  #look(job: JobSnapshot): void {
    for (const [key, early] of this.#lanes) if (isOver(early.job, this.#context)) this.#forget(key)
    const begins = job.status === 'running' && job.prepared_attempt === job.attempt
    if (!begins || this.#lane.ended || !job.lanes.includes(this.#lane.partition)) return
    for (const output of outputsOf(job, this.#kind)) {
      const key = keyOf(job, output)
      if (this.#lanes.has(key)) continue
      const opened = LaneJob.open(job, output, this.#lane, this.#context).catch(() => null)
      this.#lanes.set(key, { job, opened })
    }
  }

  #forget(key: string): void {
    const early = this.#lanes.get(key)
    this.#lanes.delete(key)
    early?.opened?.then((laneJob) => laneJob?.close())
  }
}

function keyOf({ job_id, attempt }: JobSnapshot, output: number): string {
  return `${job_id}/${attempt}/${output}`
}

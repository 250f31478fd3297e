// What a process knows of the service: the compacted topics as maps in memory, kept up to date by a tail.
import { EventEmitter } from 'node:events'
import { jobCodec } from '../../topics/job-codec.ts'
import { isTerminal, type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { type ModelRecord, modelCodec, modelKey, modelsTopic } from '../../topics/models.ts'
import { type ProgressEntry, progressCodec, progressTopic } from '../../topics/progress.ts'
import { type Schedule, scheduleCodec, schedulesTopic } from '../../topics/schedules.ts'
import { type WorkerHeartbeat, workerCodec, workersTopic } from '../../topics/workers.ts'
import { isActive } from '../job/machine.ts'
import type { KafkaClient } from './client.ts'
import { controlPartition } from './partitioner.ts'
import { startTail, type Tail, type TailedTopic, type TailRecord } from './tail.ts'

export type ViewName = 'jobs' | 'progress' | 'models' | 'schedules' | 'workers'

/** What changes many times in each job's life. */
const BUSY: readonly ViewName[] = ['jobs', 'progress']

/**
 * Which topics are followed together. A fetch names each partition of its topics, and so does the answer: where three topics more
 * are known that hardly ever change, they have a tail of their own.
 */
function tailsOf(names: readonly ViewName[]): ViewName[][] {
  const quiet = names.filter((name) => !BUSY.includes(name))
  return quiet.length < 2 ? [[...names]] : [names.filter((name) => BUSY.includes(name)), quiet]
}

interface ViewEvents {
  job: [job: JobSnapshot]
  /** Its time was up: what was last known of it. */
  jobGone: [job: JobSnapshot]
  progress: [entry: ProgressEntry]
  model: [model: ModelRecord]
  /** Null: it was deleted. */
  schedule: [scheduleId: string, schedule: Schedule | null]
}

export class Views {
  readonly jobs = new Map<string, JobSnapshot>()
  /** `tenant/model@version` → model. */
  readonly models = new Map<string, ModelRecord>()
  readonly schedules = new Map<string, Schedule>()
  readonly workers = new Map<string, WorkerHeartbeat>()
  readonly changes = new EventEmitter<ViewEvents>()
  readonly #progress = new Map<string, Map<string, ProgressEntry>>()
  /** Finished job → slots of the ledger whose records are still in the topic: a worker may write one late. */
  readonly #leftSlots = new Map<string, Set<string>>()
  readonly #partitions = new Map<string, number>()
  readonly #offsets = new Map<string, bigint>()
  readonly #active = new Map<string, JobSnapshot>()
  readonly #tails = new Map<ViewName, Tail>()

  /** Follows these topics from their start; resolves when everything in them now is known. The other maps stay empty. */
  static async open(client: KafkaClient, names: readonly ViewName[], onFatal: (error: Error) => void): Promise<Views> {
    const views = new Views()
    // Every role, every job and every request may listen.
    views.changes.setMaxListeners(0)
    const topics: Record<ViewName, TailedTopic> = {
      jobs: { spec: jobsTopic, onRecord: (record) => views.#onJob(record) },
      progress: { spec: progressTopic, onRecord: (record) => views.#onProgress(record) },
      models: { spec: modelsTopic, onRecord: (record) => views.#onModel(record) },
      schedules: { spec: schedulesTopic, onRecord: (record) => views.#onSchedule(record) },
      workers: { spec: workersTopic, onRecord: (record) => views.#onWorker(record) },
    }
    await Promise.all(
      tailsOf(names).map(async (together) => {
        const tail = await startTail(
          client,
          together.map((name) => topics[name]),
          onFatal,
        )
        for (const name of together) views.#tails.set(name, tail)
      }),
    )
    return views
  }

  /** The ledger entries of a job, by `stage/lane`. */
  progressOf(jobId: string): ReadonlyMap<string, ProgressEntry> {
    return this.#progress.get(jobId) ?? NO_PROGRESS
  }

  /** The jobs that are under way, of all tenants. */
  activeJobs(): IterableIterator<JobSnapshot> {
    return this.#active.values()
  }

  /** Whether the job is known to have ended. */
  isFinished(jobId: string): boolean {
    const job = this.jobs.get(jobId)
    return job !== undefined && isTerminal(job.status)
  }

  /** Where in its partition of jobs.v1 the job's snapshot is; -1 if there is none. */
  offsetOf(jobId: string): bigint {
    return this.#offsets.get(jobId) ?? -1n
  }

  /** The slots of a job's ledger that have a record in the topic, also those that do not count any more. */
  slotsOf(jobId: string): string[] {
    return [...this.progressOf(jobId).keys(), ...(this.#leftSlots.get(jobId) ?? [])]
  }

  /** The jobs of one control partition. */
  jobsOfPartition(partition: number): JobSnapshot[] {
    return [...this.jobs.values()].filter((job) => this.#partitions.get(job.job_id) === partition)
  }

  /** The newest version of a model, or the given one; also if its record is still on its way. */
  async findModel(tenantId: string, modelId: string, version: number | null): Promise<ModelRecord | undefined> {
    const known = this.#model(tenantId, modelId, version)
    if (known) return known
    await this.#tails.get('models')?.caughtUp(modelsTopic)
    return this.#model(tenantId, modelId, version)
  }

  #model(tenantId: string, modelId: string, version: number | null): ModelRecord | undefined {
    if (version !== null) return this.models.get(modelKey({ tenant_id: tenantId, model_id: modelId, version }))
    let newest: ModelRecord | undefined
    for (const model of this.models.values()) {
      if (model.tenant_id === tenantId && model.model_id === modelId && model.version > (newest?.version ?? 0))
        newest = model
    }
    return newest
  }

  /** The job, also if its snapshot is still on its way: then waits until everything written so far is known. */
  async findJob(jobId: string): Promise<JobSnapshot | undefined> {
    const known = this.jobs.get(jobId)
    if (known) return known
    await this.#tails.get('jobs')?.caughtUp(jobsTopic)
    return this.jobs.get(jobId)
  }

  /** The schedules of one control partition. */
  schedulesOfPartition(partition: number): Schedule[] {
    return [...this.schedules.values()].filter(({ tenant_id }) => controlPartition(tenant_id) === partition)
  }

  /** The schedule, also if its record is still on its way. */
  async findSchedule(scheduleId: string): Promise<Schedule | undefined> {
    const known = this.schedules.get(scheduleId)
    if (known) return known
    await this.#tails.get('schedules')?.caughtUp(schedulesTopic)
    return this.schedules.get(scheduleId)
  }

  async caughtUp(): Promise<void> {
    await this.#ofEach((tail) => tail.caughtUp())
  }

  async close(): Promise<void> {
    await this.#ofEach((tail) => tail.close())
  }

  async #ofEach(work: (tail: Tail) => Promise<void>): Promise<void> {
    await Promise.all([...new Set(this.#tails.values())].map(work))
  }

  #onJob({ key, value, partition, offset }: TailRecord): void {
    if (!value) {
      const gone = this.jobs.get(key)
      this.jobs.delete(key)
      this.#active.delete(key)
      this.#partitions.delete(key)
      this.#offsets.delete(key)
      this.#progress.delete(key)
      this.#leftSlots.delete(key)
      if (gone) this.changes.emit('jobGone', gone)
      return
    }
    const job = jobCodec.decode(value)
    this.jobs.set(key, job)
    if (isActive(job)) this.#active.set(key, job)
    else this.#active.delete(key)
    this.#partitions.set(key, partition)
    this.#offsets.set(key, offset)
    // A finished job's totals are in its snapshot; keeping every ledger entry would grow with every job ever run.
    if (isTerminal(job.status)) {
      for (const slot of this.progressOf(key).keys()) this.#leftSlot(key, slot)
      this.#progress.delete(key)
    }
    this.changes.emit('job', job)
  }

  #onProgress({ key, value }: TailRecord): void {
    const jobId = key.slice(0, key.indexOf('/'))
    const slot = key.slice(key.indexOf('/') + 1)
    if (!value) {
      for (const slots of [this.#progress, this.#leftSlots]) {
        slots.get(jobId)?.delete(slot)
        if (slots.get(jobId)?.size === 0) slots.delete(jobId)
      }
      return
    }
    const entry = progressCodec.decode(value)
    const job = this.jobs.get(jobId)
    if (job && isTerminal(job.status)) {
      this.#leftSlot(jobId, slot)
      return
    }
    let entries = this.#progress.get(jobId)
    if (!entries) {
      entries = new Map()
      this.#progress.set(jobId, entries)
    }
    // The first claim of an attempt counts; its key names the worker, so a second claim has another slot.
    entries.set(slot, entry)
    this.changes.emit('progress', entry)
  }

  #leftSlot(jobId: string, slot: string): void {
    const slots = this.#leftSlots.get(jobId)
    if (slots) slots.add(slot)
    else this.#leftSlots.set(jobId, new Set([slot]))
  }

  #onModel({ key, value }: TailRecord): void {
    if (!value) {
      this.models.delete(key)
      return
    }
    const model = modelCodec.decode(value)
    this.models.set(key, model)
    this.changes.emit('model', model)
  }

  #onSchedule({ key, value }: TailRecord): void {
    const schedule = value ? scheduleCodec.decode(value) : null
    if (schedule) this.schedules.set(key, schedule)
    else this.schedules.delete(key)
    this.changes.emit('schedule', key, schedule)
  }

  #onWorker({ key, value }: TailRecord): void {
    if (value) this.workers.set(key, workerCodec.decode(value))
    else this.workers.delete(key)
  }
}

const NO_PROGRESS: ReadonlyMap<string, ProgressEntry> = new Map()

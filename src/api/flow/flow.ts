// A job's dataflow in numbers: what each stage has done, what lies between them, lane by lane. From the ledger, the groups'
// offsets and the workers' heartbeats. Pure.
import { chunksTopics } from '../../../topics/chunks.ts'
import type { JobSnapshot } from '../../../topics/jobs.ts'
import { type ProgressEntry, READ_SLOT } from '../../../topics/progress.ts'
import { scoredTopics, sinkKind } from '../../../topics/scored.ts'
import { type Role, WORKER_LOST_MS, type WorkerHeartbeat } from '../../../topics/workers.ts'
import type { GroupLag } from '../../kafka/group-offsets.ts'

export interface StageCounts {
  readonly chunks: number
  readonly rows: number
}

export interface FlowNode extends StageCounts {
  readonly role: 'reader' | 'scorer' | 'sink'
  /** Of a sink: which of the job's outputs. */
  readonly output: number | null
  readonly failed_rows: number
  readonly bytes: number
  readonly done: boolean
  /** Of the workers that are at this stage of the job now: their mean; null while none has said. */
  readonly busy_share: number | null
  readonly back_pressured_share: number | null
  /** The longest of them. */
  readonly chunk_p95_ms: number | null
  readonly workers: string[]
}

export interface FlowLane {
  readonly lane: number
  /** Of this job: what came in, and what has been taken in and committed. */
  readonly sent: StageCounts
  readonly done: StageCounts
  readonly lag_chunks: number
  readonly lag_rows: number
  /** Of the partition, whosever records they are. */
  readonly end_offset: string
  readonly committed_offset: string | null
  readonly partition_lag: number
  readonly owner: string | null
}

export interface FlowEdge {
  readonly topic: string
  readonly group: string
  /** Of an edge to a sink: which of the job's outputs. */
  readonly output: number | null
  readonly lag_chunks: number
  readonly lag_rows: number
  readonly lanes: FlowLane[]
}

export interface Flow {
  readonly nodes: FlowNode[]
  readonly edges: FlowEdge[]
}

export interface FlowFacts {
  readonly entries: ReadonlyMap<string, ProgressEntry>
  readonly workers: Iterable<WorkerHeartbeat>
  /** Of a group (without the prefix) in the topic that it consumes. */
  readonly lags: ReadonlyMap<string, readonly GroupLag[]>
  readonly now: number
}

/** The groups between the stages of a job, each with its topic. */
export function groupsOf(
  job: JobSnapshot,
): { group: string; topic: (typeof chunksTopics)['cpu']; output: number | null }[] {
  return [
    { group: `scorer.${job.pool}`, topic: chunksTopics[job.pool], output: null },
    ...job.outputs.map(({ destination }, output) => {
      const kind = sinkKind(destination)
      return { group: `sink.${kind}`, topic: scoredTopics[kind], output }
    }),
  ]
}

export function flowOf(job: JobSnapshot, facts: FlowFacts): Flow {
  const entries = [...facts.entries.values()].filter(({ attempt }) => attempt === job.attempt)
  const read = facts.entries.get(READ_SLOT)
  const ownRead = read?.attempt === job.attempt ? read : undefined
  const scored = entries.filter(({ stage }) => stage === 'score')
  const sunk = job.outputs.map((_, output) =>
    entries.filter((entry) => entry.stage === 'sink' && entry.output === output),
  )
  const alive = [...facts.workers].filter(({ at }) => facts.now - Number(at) < WORKER_LOST_MS)
  const sent = new Map((ownRead?.position?.lanes ?? ownRead?.sent ?? []).map((lane) => [lane.lane, countsOf(lane)]))
  const scoredBy = new Map(scored.map((entry) => [entry.lane, countsOf(entry)]))
  const [chunks, ...outlets] = groupsOf(job)
  const edge = (at: typeof chunks, role: Role, before: Counts, after: readonly ProgressEntry[]): FlowEdge[] => {
    if (!at) return []
    const lags = facts.lags.get(at.group) ?? []
    const pool = role === 'scorer' ? job.pool : ''
    const lanes = lanesOf(
      job,
      before,
      after,
      lags,
      alive.filter((worker) => worker.role === role && worker.pool === pool),
    )
    const sum = (pick: (lane: FlowLane) => number): number => lanes.reduce((total, lane) => total + pick(lane), 0)
    const lag = { lag_chunks: sum((lane) => lane.lag_chunks), lag_rows: sum((lane) => lane.lag_rows) }
    return [{ topic: at.topic.name, group: at.group, output: at.output, ...lag, lanes }]
  }
  return {
    nodes: [
      nodeOf(job, 'reader', null, ownRead ? [ownRead] : [], alive),
      nodeOf(job, 'scorer', null, scored, alive),
      ...sunk.map((own, output) => nodeOf(job, 'sink', output, own, alive)),
    ],
    edges: [
      ...edge(chunks, 'scorer', sent, scored),
      ...outlets.flatMap((outlet, output) => edge(outlet, 'sink', scoredBy, sunk[output] ?? [])),
    ],
  }
}

type Counts = ReadonlyMap<number, StageCounts>

const NOTHING: StageCounts = { chunks: 0, rows: 0 }

function countsOf({ chunks, rows }: { chunks: bigint; rows: bigint }): StageCounts {
  return { chunks: Number(chunks), rows: Number(rows) }
}

/** A sink counts rows that it wrote, and those that it left out as failed. */
function takenIn(entry: ProgressEntry): StageCounts {
  const { chunks, rows } = countsOf(entry)
  return { chunks, rows: entry.stage === 'sink' ? rows + Number(entry.failed_rows) : rows }
}

function nodeOf(
  job: JobSnapshot,
  role: FlowNode['role'],
  output: number | null,
  entries: readonly ProgressEntry[],
  alive: readonly WorkerHeartbeat[],
): FlowNode {
  const sum = (pick: (entry: ProgressEntry) => bigint): number =>
    Number(entries.reduce((total, entry) => total + pick(entry), 0n))
  const at = alive.filter((worker) => worker.role === role && worker.jobs.includes(job.job_id))
  const mean = (pick: (worker: WorkerHeartbeat) => number): number | null =>
    at.length ? at.reduce((total, worker) => total + pick(worker), 0) / at.length : null
  const slowest = at.flatMap(({ chunk_p95_ms }) => (chunk_p95_ms === null ? [] : [chunk_p95_ms]))
  const lanes = role === 'reader' ? 1 : job.lanes.length
  return {
    role,
    output,
    chunks: sum(({ chunks }) => chunks),
    rows: sum(({ rows }) => rows),
    failed_rows: sum(({ failed_rows }) => failed_rows),
    bytes: sum(({ bytes }) => bytes),
    done: lanes > 0 && entries.filter(({ done }) => done).length === lanes,
    busy_share: mean(({ busy_share }) => busy_share),
    back_pressured_share: mean(({ back_pressured_share }) => back_pressured_share),
    chunk_p95_ms: slowest.length ? Math.max(...slowest) : null,
    workers: at.map(({ worker_id }) => worker_id),
  }
}

function lanesOf(
  job: JobSnapshot,
  before: Counts,
  after: readonly ProgressEntry[],
  lags: readonly GroupLag[],
  owners: readonly WorkerHeartbeat[],
): FlowLane[] {
  const entries = new Map(after.map((entry) => [entry.lane, entry]))
  const partitions = new Map(lags.map((lag) => [lag.partition, lag]))
  return job.lanes.map((lane) => {
    const entry = entries.get(lane)
    const sent = before.get(lane) ?? NOTHING
    const done = entry ? takenIn(entry) : NOTHING
    const partition = partitions.get(lane)
    const owner = owners.find(({ partitions: owned }) => owned.includes(lane))
    return {
      lane,
      sent,
      done,
      // The ledger's entries come on their own ways: a stage may be heard of before the one before it.
      lag_chunks: Math.max(0, sent.chunks - done.chunks),
      lag_rows: Math.max(0, sent.rows - done.rows),
      end_offset: String(partition?.high ?? 0n),
      committed_offset: partition?.committed == null ? null : String(partition.committed),
      partition_lag: Number(partition?.lag ?? 0n),
      owner: owner?.worker_id ?? entry?.worker_id ?? null,
    }
  })
}

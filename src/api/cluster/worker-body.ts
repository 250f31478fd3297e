// What the API says of a process of the service.
import Type, { type Static } from 'typebox'
import { ROLES, WORKER_LOST_MS, type WorkerHeartbeat } from '../../../topics/workers.ts'

export const WorkerBody = Type.Object(
  {
    worker_id: Type.String(),
    role: Type.Enum([...ROLES]),
    pool: Type.String({ description: 'Of a scorer; empty for others' }),
    providers: Type.Array(Type.String(), {
      description: "Of a scorer: ONNX Runtime's execution providers, best first",
    }),
    devices: Type.Array(Type.String(), { description: 'Of a scorer: what it computes on' }),
    host: Type.String(),
    pid: Type.Integer(),
    rss_bytes: Type.Integer(),
    rss_peak_bytes: Type.Integer(),
    cpu_ms: Type.Integer(),
    partitions: Type.Array(Type.Integer(), { description: 'Lanes or partitions that it owns' }),
    busy_share: Type.Number(),
    back_pressured_share: Type.Number(),
    rows_per_second: Type.Number(),
    chunk_p95_ms: Type.Union([Type.Number(), Type.Null()]),
    jobs: Type.Array(Type.String(), { description: 'Jobs of yours that it worked on in the last seconds' }),
    lost: Type.Boolean({ description: `Silent for more than ${WORKER_LOST_MS / 1000} s without having said goodbye` }),
    started_at: Type.String(),
    seen_at: Type.String(),
  },
  { title: 'Worker' },
)

export type WorkerBody = Static<typeof WorkerBody>

/** `isOwn`: whether a job is of the tenant that asks. */
export function workerBody(worker: WorkerHeartbeat, now: number, isOwn: (jobId: string) => boolean): WorkerBody {
  return {
    ...worker,
    rss_bytes: Number(worker.rss_bytes),
    rss_peak_bytes: Number(worker.rss_peak_bytes),
    cpu_ms: Number(worker.cpu_ms),
    jobs: worker.jobs.filter(isOwn),
    lost: now - Number(worker.at) > WORKER_LOST_MS,
    started_at: new Date(Number(worker.started_at)).toISOString(),
    seen_at: new Date(Number(worker.at)).toISOString(),
  }
}

// Every snapshot that jobs.v1 has had, in the order of its partitions: what a downstream consumer sees of the jobs.
import { jobCodec } from '../../topics/job-codec.ts'
import { type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { whenFileEnds } from './file-end.ts'
import type { Service } from './service.ts'

export interface JobHistory {
  /** So far. The order is that of the log for jobs of one tenant. */
  readonly snapshots: readonly JobSnapshot[]
  /** The states that a job has passed, each named once for as long as it lasted. */
  statuses(jobId: string): string[]
}

/** Follows the topic from its start until the file ends. `onSnapshot` hears of each at once. */
export async function followJobs(
  { kafka, prefix }: Service,
  onSnapshot: (job: JobSnapshot) => void = () => {},
): Promise<JobHistory> {
  const consumer = kafka().consumer({ groupId: `${prefix}test-history`, maxWaitTimeInMs: 20 })
  whenFileEnds(() => consumer.disconnect())
  const snapshots: JobSnapshot[] = []
  /** Partition → next offset: a group that commits nothing begins again at the start when it has to rejoin. */
  const positions = new Map<number, bigint>()
  await consumer.connect()
  await consumer.subscribe({ topics: [`${prefix}${jobsTopic.name}`], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message: { offset, value } }) => {
      if (BigInt(offset) < (positions.get(partition) ?? 0n)) return
      positions.set(partition, BigInt(offset) + 1n)
      if (!value) return
      const job = jobCodec.decode(value)
      snapshots.push(job)
      onSnapshot(job)
    },
  })
  return {
    snapshots,
    statuses: (jobId) => {
      const passed = snapshots.filter(({ job_id }) => job_id === jobId).map(({ status }) => status)
      return passed.filter((status, i) => status !== passed[i - 1])
    },
  }
}

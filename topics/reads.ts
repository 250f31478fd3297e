// reads.v1: a read task = one attempt at a job's query. Key: job_id. Partition: murmur2(tenant_id).
import { avroCodec } from './avro.ts'
import { compactedTopic } from './topic.ts'

export const readsTopic = compactedTopic('reads.v1')

/** The reader finds query, lanes and chunk size in the job's snapshot of this attempt. */
export interface ReadTask {
  job_id: string
  tenant_id: string
  attempt: number
}

export const readCodec = avroCodec<ReadTask>({
  type: 'record',
  name: 'ReadTask',
  namespace: 'scoreline',
  fields: [
    { name: 'job_id', type: 'string' },
    { name: 'tenant_id', type: 'string' },
    { name: 'attempt', type: 'int' },
  ],
})

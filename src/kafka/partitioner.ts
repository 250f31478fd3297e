// Which partition of a control topic a tenant's records go to: murmur2 of the key, as Kafka's own clients do it.
import { Partitioners } from '../../connectors/kafka/kafkajs/library.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'

const murmur2 = Partitioners.DefaultPartitioner()
const metadata = Array.from({ length: CONTROL_PARTITIONS }, (_, partitionId) => ({
  partitionErrorCode: 0,
  partitionId,
  leader: 0,
  replicas: [],
  isr: [],
}))

/** Partition (0 … 11) of everything that belongs to `key`: a tenant, or a worker. */
export function controlPartition(key: string): number {
  return murmur2({ topic: '', partitionMetadata: metadata, message: { key, value: null } })
}

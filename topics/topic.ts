// What a topic is: its name under the prefix, its partitions and its retention. Every topic of the service is one
// constant of this shape, in a file of its own; they are created, or checked for drift, when a process starts.

/** Declaration of one Kafka topic. Sizes in bytes, times in milliseconds. */
export interface TopicSpec {
  /** Name without the prefix, e.g. `jobs.v1`. */
  readonly name: string
  readonly partitions: number
  /** `compact` keeps the newest record of each key; `delete` forgets by age and size. */
  readonly cleanup: 'compact' | 'delete'
  /** What a producer sends at once to a partition is one batch, of at most so many bytes (but for a record that is larger alone). */
  readonly batchBytes: number
  /** Further topic settings, by their Kafka names. */
  readonly config: Readonly<Record<string, string>>
}

/**
 * Partitions of every control topic. They share one count and one partitioner (murmur2 of `tenant_id`), so the
 * controller that owns partition p of the commands owns all jobs of those tenants, and its concurrency limit is exact.
 */
export const CONTROL_PARTITIONS = 12

/**
 * Partitions of the chunk and scored topics: the lanes. A job's `parallelism` cannot exceed it, nor can the number of
 * scorer processes that have work at the same time.
 */
export const LANES = 16

/**
 * For one large record, e.g. of a job with a long query and many columns: brokers' own 1 MiB is close to that. Topics that are
 * there already keep what they have.
 */
const CONTROL_MESSAGE_BYTES = String(4 * 1024 * 1024)
/** Fits into the 1 MiB of topics that are there already. */
const CONTROL_BATCH_BYTES = 900_000

const LANE_MESSAGE_BYTES = 16 * 1024 * 1024

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** A control topic that remembers the newest record of each key for ever. */
export function compactedTopic(name: string): TopicSpec {
  return {
    name,
    partitions: CONTROL_PARTITIONS,
    cleanup: 'compact',
    batchBytes: CONTROL_BATCH_BYTES,
    // Small segments, so that the log cleaner (which never touches the active segment) keeps a start-up read short.
    config: {
      'segment.ms': String(HOUR_MS),
      'segment.bytes': String(16 * 1024 * 1024),
      'min.cleanable.dirty.ratio': '0.2',
      'max.message.bytes': CONTROL_MESSAGE_BYTES,
    },
  }
}

/** A control topic that forgets after `days`. */
export function expiringTopic(name: string, days: number): TopicSpec {
  return {
    name,
    partitions: CONTROL_PARTITIONS,
    cleanup: 'delete',
    batchBytes: CONTROL_BATCH_BYTES,
    config: { 'retention.ms': String(days * DAY_MS), 'max.message.bytes': CONTROL_MESSAGE_BYTES },
  }
}

/**
 * A data topic with one partition for each lane. A chunk is only needed until the next role has committed past it;
 * a day and 8 GiB a lane leave room for a stage that is down overnight. What retention takes from under a consumer is
 * found by the sink as a gap in `seq` and fails the job.
 */
export function laneTopic(name: string): TopicSpec {
  return {
    name,
    partitions: LANES,
    cleanup: 'delete',
    batchBytes: LANE_MESSAGE_BYTES - 1024 * 1024,
    config: {
      'retention.ms': String(DAY_MS),
      'retention.bytes': String(8 * 1024 ** 3),
      'segment.bytes': String(128 * 1024 * 1024),
      'max.message.bytes': String(LANE_MESSAGE_BYTES),
    },
  }
}

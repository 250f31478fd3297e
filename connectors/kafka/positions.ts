// How far an attempt is, kept as committed offsets of a consumer group of its own that nobody ever joins. A lane's offset is
// committed in the transaction of its rows: both are there or neither. What an offset alone cannot say is in its metadata
// (at most 4096 bytes; ours are about 60).
//
//   group <prefix>sink.kafka.<result>.<attempt>
//     scored topic, partition = lane   offset = chunks    {"rows":"…","failed":"…","bytes":"…","done":false}
//     target topic, partition 0        offset = 0         {"state":"prepared","format":"avro","schemaId":7}
//
// Kafka forgets such offsets `offsets.retention.minutes` after their commit, 7 days by default. The second one, the ticket, is
// the oldest: while it is there no lane's is missing. It also goes when the topic is deleted. Without it no lane is opened, so
// what was forgotten is an error and never a second beginning.
import { scoredTopics } from '../../topics/scored.ts'
import { LANE_START, type LanePosition, type SinkJob } from '../connector.ts'
import type { KafkaConnection } from './client.ts'
import type { Transactions } from './transactions.ts'

/** An attempt as `prepare` and `discard` left it. */
export interface Ticket {
  readonly state: 'prepared' | 'closed'
  readonly format: 'avro' | 'json'
  /** Of Avro; 0 for JSON. */
  readonly schemaId: number
}

export interface AttemptState {
  readonly ticket: Ticket | null
  /** By lane; lanes that have committed nothing are missing. */
  readonly lanes: ReadonlyMap<number, LanePosition>
}

/** What names an attempt. */
export type Attempt = Pick<SinkJob, 'resultId' | 'attempt'>

/** The transactional id of a lane: the same for every attempt, so that a new one fences the old. */
export function laneId(connection: KafkaConnection, { resultId }: Attempt, lane: number): string {
  return connection.name(`sink.kafka.${resultId}.${lane}`)
}

/** The transactional id for tickets. */
export function ticketId(connection: KafkaConnection, { resultId }: Attempt): string {
  return connection.name(`sink.kafka.${resultId}.ticket`)
}

/** What the attempt's group has committed. Only what a closed or finished transaction left is final. */
export async function readAttempt(connection: KafkaConnection, attempt: Attempt, topic: string): Promise<AttemptState> {
  const scored = connection.name(scoredTopics.kafka.name)
  const committed = await connection.withAdmin('positions_unreadable', (admin) =>
    admin.fetchOffsets({ groupId: groupOf(connection, attempt), topics: [topic, scored] }),
  )
  const found = (name: string) =>
    (committed.find((entry) => entry.topic === name)?.partitions ?? []).filter(({ offset }) => offset !== '-1')
  const ticket = found(topic).find(({ partition }) => partition === 0)
  return {
    ticket: ticket ? (JSON.parse(ticket.metadata ?? '') as Ticket) : null,
    lanes: new Map(
      found(scored).map(({ partition, offset, metadata }) => [partition, parsePosition(offset, metadata ?? '')]),
    ),
  }
}

/** The offsets that a transaction commits to record a lane's position. */
export function positionOffsets(
  connection: KafkaConnection,
  attempt: Attempt,
  lane: number,
  { chunks, rows, failedRows, bytes, done }: LanePosition,
): Parameters<Transactions['run']>[1] {
  const metadata = JSON.stringify({ rows: String(rows), failed: String(failedRows), bytes: String(bytes), done })
  return offsetsOf(connection, attempt, connection.name(scoredTopics.kafka.name), lane, chunks, metadata)
}

/** The offsets that a transaction commits to leave a ticket. */
export function ticketOffsets(
  connection: KafkaConnection,
  attempt: Attempt,
  topic: string,
  ticket: Ticket,
): Parameters<Transactions['run']>[1] {
  return offsetsOf(connection, attempt, topic, 0, 0, JSON.stringify(ticket))
}

function groupOf(connection: KafkaConnection, { resultId, attempt }: Attempt): string {
  return connection.name(`sink.kafka.${resultId}.${attempt}`)
}

function offsetsOf(
  connection: KafkaConnection,
  attempt: Attempt,
  topic: string,
  partition: number,
  offset: number,
  metadata: string,
): Parameters<Transactions['run']>[1] {
  // The client's types do not know of the metadata; it puts them into the request as they are.
  const partitions = [{ partition, offset: String(offset), metadata }]
  return { consumerGroupId: groupOf(connection, attempt), topics: [{ topic, partitions }] }
}

function parsePosition(chunks: string, metadata: string): LanePosition {
  const { rows, failed, bytes, done } = JSON.parse(metadata) as Record<'rows' | 'failed' | 'bytes', string> & {
    done: boolean
  }
  return {
    ...LANE_START,
    chunks: Number(chunks),
    rows: BigInt(rows),
    failedRows: BigInt(failed),
    bytes: BigInt(bytes),
    done,
  }
}

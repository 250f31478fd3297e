// How far an attempt is, kept as committed offsets of groups of its own that nobody ever joins. A lane's offset is committed in
// the transaction of its rows: both are there or neither. What an offset alone cannot say is in its metadata (at most 4096
// bytes; ours are about 60).
//
//   group <prefix>sink.kafka.<result>.<attempt>          the attempt's ticket: may its lanes be opened
//     target topic, partition 0             offset = 0        {"state":"prepared","format":"avro","schemaId":7}
//   group <prefix>sink.kafka.<result>.<attempt>.<lane>   a lane
//     scored topic, partition = lane        offset = chunks   {"rows":"…","failed":"…","bytes":"…","done":false}
//     scored topic, the partition after it  offset = 0        a token of whoever opened the lane last
//
// Kafka forgets such offsets `offsets.retention.minutes` after their commit, 7 days by default. The ticket is the oldest: while it
// is there no lane's is missing. It also goes when the target topic is deleted. Without it no lane is opened, so what was
// forgotten is an error and never a second beginning.
import { randomUUID } from 'node:crypto'
import { scoredTopics } from '../../topics/scored.ts'
import { LANES } from '../../topics/topic.ts'
import { ConnectorError, LANE_START, type LanePosition, type SinkJob } from '../connector.ts'
import { connectorError, type KafkaConnection, typeOf } from './client.ts'
import { KafkaJSDeleteGroupsError } from './kafkajs/library.ts'
import { openTransactions, type TransactionOffsets, type Transactions } from './transactions.ts'

/** What names an attempt. */
export type Attempt = Pick<SinkJob, 'resultId' | 'attempt'>

/** An attempt as `prepare` and `discard` left it. */
export interface Ticket {
  readonly state: 'prepared' | 'closed'
  readonly format: 'avro' | 'json'
  /** Of Avro; 0 for JSON. */
  readonly schemaId: number
}

/** The attempt's ticket; null when there is none, or none any more. */
export async function readTicket(connection: KafkaConnection, attempt: Attempt, topic: string): Promise<Ticket | null> {
  const metadata = (await readGroup(connection, groupOf(connection, attempt), topic)).get(0)?.metadata
  return metadata === undefined ? null : (JSON.parse(metadata) as Ticket)
}

/** Leaves a ticket; everyone who reads after this sees it. */
export async function putTicket(
  connection: KafkaConnection,
  attempt: Attempt,
  topic: string,
  choose: () => Promise<Ticket>,
): Promise<void> {
  const transactions = await open(connection, `sink.kafka.${attempt.resultId}.ticket`)
  try {
    const ticket = await choose()
    const slot = { topic, partition: 0, offset: 0, metadata: JSON.stringify(ticket) }
    await commitSeen(
      () => commit(transactions, offsetsOf(groupOf(connection, attempt), slot)),
      async () => (await readTicket(connection, attempt, topic))?.state === ticket.state,
    )
  } finally {
    await transactions.close()
  }
}

/** A lane that nobody else can write any more, and its final position up to now. */
export interface TakenLane {
  readonly transactions: Transactions
  readonly position: LanePosition
}

/**
 * Fences whoever has the lane, in any attempt, and reads how far it is in this one. A broker lets offsets be seen a moment
 * after their transaction has ended (KAFKA-17507; measured with 4.3.1: 2 of 360 reads came too early), and the client cannot ask
 * for stable ones. So the new owner commits a token to the same group: its log is in order, and who sees the token sees all
 * that was committed before.
 */
export async function takeLane(connection: KafkaConnection, attempt: Attempt, lane: number): Promise<TakenLane> {
  // The same id for every attempt, so that a new one fences the old.
  const transactions = await open(connection, `sink.kafka.${attempt.resultId}.${lane}`)
  try {
    const token = randomUUID()
    const slot = { topic: scoredTopic(connection), partition: tokenPartition(lane), offset: 0, metadata: token }
    const group = groupOf(connection, attempt, lane)
    let position = LANE_START
    await commitSeen(
      () => commit(transactions, offsetsOf(group, slot)),
      async () => {
        const committed = await readGroup(connection, group, scoredTopic(connection))
        position = positionIn(committed, lane)
        return committed.get(tokenPartition(lane))?.metadata === token
      },
    )
    return { transactions, position }
  } catch (error) {
    await transactions.close()
    throw error
  }
}

/** The lane's position as anyone can see it now, perhaps some milliseconds old. */
export async function readPosition(connection: KafkaConnection, attempt: Attempt, lane: number): Promise<LanePosition> {
  return positionIn(await readGroup(connection, groupOf(connection, attempt, lane), scoredTopic(connection)), lane)
}

/** The offsets that a transaction commits to record a lane's position. */
export function positionOffsets(
  connection: KafkaConnection,
  attempt: Attempt,
  lane: number,
  { chunks, rows, failedRows, bytes, done }: LanePosition,
): TransactionOffsets {
  const metadata = JSON.stringify({ rows: String(rows), failed: String(failedRows), bytes: String(bytes), done })
  const slot = { topic: scoredTopic(connection), partition: lane, offset: chunks, metadata }
  return offsetsOf(groupOf(connection, attempt, lane), slot)
}

/**
 * Deletes what is kept of attempts 1 … `attempts`. A job may come again under its id (the same Idempotency-Key after its time
 * is up), and must not be taken to be where the first one ended.
 */
export async function forgetAttempts(
  connection: KafkaConnection,
  { resultId, attempt: attempts }: Attempt,
): Promise<void> {
  const lanes = Array.from({ length: LANES }, (_, lane) => lane)
  const groups = Array.from({ length: attempts }, (_, before) => before + 1).flatMap((attempt) => [
    groupOf(connection, { resultId, attempt }),
    ...lanes.map((lane) => groupOf(connection, { resultId, attempt }, lane)),
  ])
  await connection.withAdmin('offsets_refused', async (admin) => {
    try {
      await admin.deleteGroups(groups)
    } catch (error) {
      if (!(error instanceof KafkaJSDeleteGroupsError)) throw error
      const failure = error.groups.find(({ error: cause }) => typeOf(cause) !== 'GROUP_ID_NOT_FOUND')
      if (failure) throw failure.error
    }
  })
}

function groupOf(connection: KafkaConnection, { resultId, attempt }: Attempt, lane?: number): string {
  return connection.name(`sink.kafka.${resultId}.${attempt}${lane === undefined ? '' : `.${lane}`}`)
}

function scoredTopic(connection: KafkaConnection): string {
  return connection.name(scoredTopics.kafka.name)
}

function tokenPartition(lane: number): number {
  return (lane + 1) % LANES
}

function offsetsOf(
  consumerGroupId: string,
  { topic, partition, offset, metadata }: { topic: string; partition: number; offset: number; metadata: string },
): TransactionOffsets {
  // The client's types do not know of the metadata; it puts them into the request as they are.
  const partitions = [{ partition, offset: String(offset), metadata }]
  return { consumerGroupId, topics: [{ topic, partitions }] }
}

async function open(connection: KafkaConnection, suffix: string): Promise<Transactions> {
  try {
    return await openTransactions(connection.kafka, connection.name(suffix))
  } catch (error) {
    throw connectorError(error, 'transactions_refused')
  }
}

async function commit(transactions: Transactions, offsets: TransactionOffsets): Promise<void> {
  try {
    await transactions.run([], offsets)
  } catch (error) {
    throw connectorError(error, 'offsets_refused')
  }
}

type Committed = ReadonlyMap<number, { readonly offset: string; readonly metadata: string }>

/** What the group has committed of a topic, by partition. */
async function readGroup(connection: KafkaConnection, groupId: string, topic: string): Promise<Committed> {
  const [committed] = await connection.withAdmin('offsets_unreadable', (admin) =>
    admin.fetchOffsets({ groupId, topics: [topic] }),
  )
  return new Map(
    committed?.partitions
      .filter(({ offset }) => offset !== '-1')
      .map(({ partition, offset, metadata }) => [partition, { offset, metadata: metadata ?? '' }]),
  )
}

function positionIn(committed: Committed, lane: number): LanePosition {
  const found = committed.get(lane)
  if (!found) return LANE_START
  const { rows, failed, bytes, done } = JSON.parse(found.metadata) as Record<'rows' | 'failed' | 'bytes', string> & {
    done: boolean
  }
  return {
    chunks: Number(found.offset),
    rows: BigInt(rows),
    failedRows: BigInt(failed),
    bytes: BigInt(bytes),
    done,
  }
}

/** Milliseconds as a rule; a starved broker may take seconds. */
const SEEN_MS = 20_000

/** Far longer than offsets take to be seen by anyone, and short for an owner who has lost the lane. */
const UNSEEN_MS = 250

/**
 * Commits offsets and waits until they can be read. Whoever took the id meanwhile may have overwritten them, and then they are never
 * seen; so they are committed again now and then, which changes nothing for an owner and is refused to anyone else (`lane_taken`).
 */
async function commitSeen(commitOffsets: () => Promise<void>, look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + SEEN_MS
  await commitOffsets()
  let again = Date.now() + UNSEEN_MS
  while (!(await look())) {
    if (Date.now() > again) {
      await commitOffsets()
      again = Date.now() + UNSEEN_MS
    }
    if (Date.now() > deadline) {
      const message = `offsets that were committed ${SEEN_MS / 1000} s ago cannot be read yet; are the brokers well?`
      throw new ConnectorError('kafka_unavailable', message, { retriable: true })
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

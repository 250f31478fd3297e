// An attempt's life around its lanes: it is prepared by a ticket, closed by another one, and may follow only attempts of which
// no row is out. A topic cannot take rows back, so a second attempt would repeat them.
import { ConnectorError, type LanePosition, type SinkJob } from '../connector.ts'
import type { KafkaConnection } from './client.ts'
import { putTicket, readPosition, readTicket, type Ticket, takeLane } from './positions.ts'

/** Leaves the ticket that lets sinks open the attempt's lanes. */
export async function openAttempt(
  connection: KafkaConnection,
  job: SinkJob,
  topic: string,
  ticket: Ticket,
): Promise<void> {
  await putTicket(connection, job, topic, async () => {
    const there = await readTicket(connection, job, topic)
    if (there?.state !== 'closed') return ticket
    const message = `attempt ${job.attempt} of job ${job.resultId} has been discarded and cannot be prepared again`
    throw new ConnectorError('attempt_discarded', message, { retriable: false })
  })
}

/** Throws `ConnectorError('already_published')` when consumers may have seen rows of an earlier attempt. */
export async function requireNothingPublished(connection: KafkaConnection, job: SinkJob, topic: string): Promise<void> {
  let rows = 0n
  for (let attempt = 1; attempt < job.attempt; attempt++) {
    rows += await closeAttempt(connection, { ...job, attempt }, topic)
  }
  if (rows === 0n) return
  const message = `${rows} rows of an earlier attempt are in the topic ${topic} already, where consumers may have read them, and a new attempt would write them again. Submit the job anew to a fresh topic, or again to this one if its consumers can tell jobs apart (header job_id = ${job.jobId}) or keep the newest record of a key`
  throw new ConnectorError('already_published', message, { retriable: false })
}

/**
 * Makes sure that the attempt writes nothing any more, and tells how many rows it has published. First the ticket, then the
 * fencing: a lane that was opened before is fenced, one that is opened after finds the attempt closed.
 */
export async function closeAttempt(connection: KafkaConnection, job: SinkJob, topic: string): Promise<bigint> {
  await putTicket(connection, job, topic, async () => ({ state: 'closed', format: 'json', schemaId: 0 }))
  const rows = await Promise.all(
    job.lanes.map(async (lane) => {
      const { transactions, position } = await takeLane(connection, job, lane)
      await transactions.close()
      return position.rows
    }),
  )
  return rows.reduce((sum, count) => sum + count, 0n)
}

/** A commit is durable some milliseconds before the offsets show it. */
const SEEN_MS = 10_000

/**
 * The positions of all lanes, once each is seen to be done; else as they are when patience is at an end. Of a closed attempt, as
 * they are: whoever closed it has seen the last of them, and nothing comes any more.
 */
export async function finalPositions(
  connection: KafkaConnection,
  job: SinkJob,
  { state }: Ticket,
): Promise<readonly { readonly lane: number; readonly position: LanePosition }[]> {
  const deadline = Date.now() + (state === 'closed' ? 0 : SEEN_MS)
  for (;;) {
    const lanes = await Promise.all(
      job.lanes.map(async (lane) => ({ lane, position: await readPosition(connection, job, lane) })),
    )
    if (lanes.every(({ position }) => position.done) || Date.now() >= deadline) return lanes
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

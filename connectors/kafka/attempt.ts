// An attempt's life around its lanes: it is prepared by a ticket, closed by another one, and may follow only attempts of which
// no row is out. A topic cannot take rows back, so a second attempt would repeat them under their keys' readers.
import { ConnectorError, type SinkJob } from '../connector.ts'
import { connectorError, type KafkaConnection } from './client.ts'
import { type Attempt, laneId, readAttempt, type Ticket, ticketId, ticketOffsets } from './positions.ts'
import { openTransactions } from './transactions.ts'

/** Leaves the ticket that lets sinks open the attempt's lanes. */
export async function openAttempt(
  connection: KafkaConnection,
  job: SinkJob,
  topic: string,
  ticket: Ticket,
): Promise<void> {
  await putTicket(connection, job, topic, async () => {
    const { ticket: there } = await readAttempt(connection, job, topic)
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
export async function closeAttempt(
  connection: KafkaConnection,
  job: Attempt & Pick<SinkJob, 'lanes'>,
  topic: string,
): Promise<bigint> {
  await putTicket(connection, job, topic, async () => ({ state: 'closed', format: 'json', schemaId: 0 }))
  await Promise.all(
    job.lanes.map(async (lane) => {
      const fence = await openTransactions(connection.kafka, laneId(connection, job, lane)).catch((error) => {
        throw connectorError(error, 'discard_failed')
      })
      await fence.close()
    }),
  )
  const { lanes } = await readAttempt(connection, job, topic)
  return [...lanes.values()].reduce((sum, { rows }) => sum + rows, 0n)
}

async function putTicket(
  connection: KafkaConnection,
  attempt: Attempt,
  topic: string,
  ticket: () => Promise<Ticket>,
): Promise<void> {
  try {
    const transactions = await openTransactions(connection.kafka, ticketId(connection, attempt))
    try {
      await transactions.run([], ticketOffsets(connection, attempt, topic, await ticket()))
    } finally {
      await transactions.close()
    }
  } catch (error) {
    throw connectorError(error, 'prepare_failed')
  }
}

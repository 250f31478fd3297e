// The destination `kafka`: one record for each prediction in a topic, exactly once for consumers that read committed. Rows
// become visible while the job runs, transaction by transaction: a topic has no "all or nothing".
import type { Column } from '../../topics/columns.ts'
import type { JobInput, JobOutput } from '../../topics/jobs.ts'
import { ConnectorError, type ConnectorSettings, type Problem, type Sink, type SinkJob } from '../connector.ts'
import { closeAttempt, finalPositions, openAttempt, requireNothingPublished } from './attempt.ts'
import { avroRows } from './avro-rows.ts'
import { avroProblems, avroSchema } from './avro-schema.ts'
import { kafkaConnection } from './client.ts'
import { jsonRows } from './json-rows.ts'
import { KafkaLane } from './lane-writer.ts'
import { forgetAttempts, readTicket, type Ticket, takeLane } from './positions.ts'
import { openRegistry } from './registry.ts'
import { describeTopic, ensureTopic, missingTopicProblem, topicNameProblem, writeProblem } from './topic.ts'

export function createKafkaSink(settings: ConnectorSettings): Sink {
  const connection = kafkaConnection(settings)
  const { registryUrl, topicPrefix } = settings.kafka
  const registry = registryUrl === null ? null : openRegistry(registryUrl)
  const formatOf = (output: JobOutput) => output.format ?? (registry ? 'avro' : 'json')

  /** A job's snapshot comes through Kafka: what `check` refuses, nothing that has side effects may accept. */
  const topicOf = ({ output }: SinkJob): string => {
    const problem = modeProblem(output) ?? topicNameProblem(output.topic, topicPrefix)
    if (problem || output.topic === null)
      throw new ConnectorError(problem?.code ?? 'topic_invalid', problem?.detail ?? '', { retriable: false })
    return output.topic
  }

  const schemaIdOf = async (job: SinkJob, topic: string): Promise<number> => {
    if (formatOf(job.output) === 'json') return 0
    if (registry) return registry.register(`${topic}-value`, avroSchema(job.columns))
    throw new ConnectorError('registry_not_configured', NO_REGISTRY, { retriable: false })
  }

  return {
    destinations: ['kafka'],

    async check(output, columns, input) {
      const format = formatOf(output)
      const problems = [
        modeProblem(output),
        topicNameProblem(output.topic, topicPrefix),
        keyProblem(columns, input),
        format === 'avro' && !registry
          ? { code: 'registry_not_configured', pointer: '/output/format', detail: NO_REGISTRY }
          : null,
      ].filter((problem) => problem !== null)
      problems.push(...columnProblems(columns), ...(format === 'avro' ? avroProblems(columns) : []))
      if (problems.length > 0 || output.topic === null) return problems
      const [targetProblem, reason] = await Promise.all([
        topicProblem(output.topic, input),
        format === 'avro' ? registry?.incompatibility(`${output.topic}-value`, avroSchema(columns)) : null,
      ])
      const found = reason ? [incompatible(output.topic, reason)] : []
      return targetProblem ? [targetProblem, ...found] : found
    },

    async prepare(job) {
      const topic = topicOf(job)
      await ensureTopic(connection, topic)
      await requireNothingPublished(connection, job, topic)
      const schemaId = await schemaIdOf(job, topic)
      await openAttempt(connection, job, topic, { state: 'prepared', format: formatOf(job.output), schemaId })
    },

    async openLane(job, lane) {
      const topic = topicOf(job)
      const { transactions, position } = await takeLane(connection, job, lane)
      try {
        const facts = await describeTopic(connection, topic)
        // Whoever closes the attempt writes the ticket before it takes the lanes: so it is read after this one is taken.
        const ticket = facts && (await readTicket(connection, job, topic))
        if (!facts || ticket?.state !== 'prepared') throw notPrepared(job, ticket)
        const encode = ticket.format === 'avro' ? avroRows(job.columns, ticket.schemaId) : jsonRows(job.columns)
        const { partitions } = facts
        return new KafkaLane(job, lane, position, { connection, transactions, topic, partitions, encode })
      } catch (error) {
        await transactions.close()
        throw error
      }
    },

    async finalise(job, rows) {
      const topic = topicOf(job)
      // Positions outlive their topic, but rows do not. The ticket goes with it, also if there is a new topic of the name.
      const facts = await describeTopic(connection, topic)
      const ticket = facts && (await readTicket(connection, job, topic))
      if (!ticket) throw notPrepared(job, ticket)
      const lanes = await finalPositions(connection, job, ticket)
      const written = lanes.reduce((sum, { position }) => sum + position.rows, 0n)
      const undone = lanes.filter(({ position }) => !position.done).map(({ lane }) => lane)
      if (undone.length > 0 && ticket.state === 'closed') throw notPrepared(job, ticket)
      if (written !== rows || undone.length > 0) {
        const message = `expected ${rows} rows of job ${job.resultId} in the topic ${topic}, found ${written} recorded${undone.length ? `, and lanes ${undone.join(', ')} unfinished` : ''}`
        throw new ConnectorError('rows_lost', message, { retriable: false })
      }
      const bytes = lanes.reduce((sum, { position }) => sum + position.bytes, 0n)
      return { rows, bytes, location: `kafka://${topic}` }
    },

    // The positions stay until Kafka forgets them: they are what a later attempt is refused by, and `finalise` may run again.
    async discard(job) {
      const topic = topicOf(job)
      if (await describeTopic(connection, topic)) await closeAttempt(connection, job, topic)
    },

    // The topic is the user's; only the positions go.
    expire: (job) => forgetAttempts(connection, job),

    close: () => connection.close(),
  }

  async function topicProblem(topic: string, input: JobInput): Promise<Problem | null> {
    const facts = await describeTopic(connection, topic)
    if (!facts) return missingTopicProblem(connection, topic)
    if (!facts.compacted || input.key_column !== null) return writeProblem(connection, topic)
    const detail = `${topic} is compacted, so its records need keys: name the query's unique column as input.key_column`
    return { code: 'key_required', pointer: '/input/key_column', detail }
  }
}

const NO_REGISTRY =
  'format avro needs a schema registry, and the service has none: set SCHEMA_REGISTRY_URL, or use format json'

function modeProblem({ mode }: JobOutput): Problem | null {
  if (mode === 'append') return null
  const detail = `expected append, got ${mode}: records are only ever added to a topic`
  return { code: 'mode_not_supported', pointer: '/output/mode', detail }
}

function keyProblem(columns: readonly Column[], { key_column }: JobInput): Problem | null {
  if (key_column === null || columns.some(({ name }) => name === key_column)) return null
  const detail = `records are keyed by input.key_column, and ${key_column} is not among the output's columns (${columns.map(({ name }) => name).join(', ')}): add it to output.columns, or leave key_column out`
  return { code: 'key_column_missing', pointer: '/output/columns', detail }
}

function columnProblems(columns: readonly Column[]): Problem[] {
  const names = columns.map(({ name }) => name)
  const problem = (code: string, detail: string): Problem => ({ code, pointer: '/output/columns', detail })
  if (names.length === 0) return [problem('no_columns', 'expected at least one column, got none')]
  return names
    .filter((name, i) => names.indexOf(name) !== i)
    .map((name) => problem('duplicate_column', `column ${name} is there twice; give each a name of its own`))
}

function incompatible(topic: string, reason: string): Problem {
  const detail = `the output's columns do not fit the schema of ${topic}-value in the registry: ${reason}. Change the query or output.columns, choose another topic, or use format json`
  return { code: 'schema_incompatible', pointer: '/output/topic', detail }
}

function notPrepared({ attempt, resultId }: SinkJob, ticket: Ticket | null): ConnectorError {
  const what = ticket ? 'has been discarded' : 'was never prepared, its topic was deleted, or Kafka forgot it'
  const message = `attempt ${attempt} of job ${resultId} ${what} (positions live for offsets.retention.minutes, 7 days by default)`
  return new ConnectorError('staging_missing', message, { retriable: false })
}

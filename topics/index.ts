// Every topic of the service, in the order in which records flow through them, and the Avro codecs of those that have one.
import type { Codec } from './avro.ts'
import { chunksTopics } from './chunks.ts'
import { commandsTopic } from './commands.ts'
import { deadLettersTopic } from './dead-letters.ts'
import { jobCodec } from './job-codec.ts'
import { jobsTopic } from './jobs.ts'
import { modelCodec, modelsTopic } from './models.ts'
import { progressCodec, progressTopic } from './progress.ts'
import { readCodec, readsTopic } from './reads.ts'
import { scheduleCodec, schedulesTopic } from './schedules.ts'
import { schemasTopic } from './schemas.ts'
import { scoredTopics } from './scored.ts'
import type { TopicSpec } from './topic.ts'
import { workerCodec, workersTopic } from './workers.ts'

export const TOPICS: readonly TopicSpec[] = [
  schemasTopic,
  commandsTopic,
  jobsTopic,
  readsTopic,
  chunksTopics.cpu,
  chunksTopics.gpu,
  scoredTopics.table,
  scoredTopics.files,
  scoredTopics.kafka,
  progressTopic,
  modelsTopic,
  schedulesTopic,
  workersTopic,
  deadLettersTopic,
]

export const CODECS: ReadonlyArray<{ readonly topic: TopicSpec; readonly codec: Codec<unknown> }> = [
  { topic: jobsTopic, codec: jobCodec },
  { topic: readsTopic, codec: readCodec },
  { topic: progressTopic, codec: progressCodec },
  { topic: modelsTopic, codec: modelCodec },
  { topic: schedulesTopic, codec: scheduleCodec },
  { topic: workersTopic, codec: workerCodec },
]

// Every topic of the service, in the order in which records flow through them.
import { chunksTopics } from './chunks.ts'
import { commandsTopic } from './commands.ts'
import { deadLettersTopic } from './dead-letters.ts'
import { jobsTopic } from './jobs.ts'
import { modelsTopic } from './models.ts'
import { progressTopic } from './progress.ts'
import { readsTopic } from './reads.ts'
import { schedulesTopic } from './schedules.ts'
import { scoredTopics } from './scored.ts'
import type { TopicSpec } from './topic.ts'
import { workersTopic } from './workers.ts'

export const TOPICS: readonly TopicSpec[] = [
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

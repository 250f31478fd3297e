// schedules.v1: jobs that start by the clock, and their last firing. Key: schedule_id. Partition: murmur2(tenant_id).
import { compactedTopic } from './topic.ts'

export const schedulesTopic = compactedTopic('schedules.v1')

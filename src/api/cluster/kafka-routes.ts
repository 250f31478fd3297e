// /api/v1/kafka/topics: the service's topics, and how far their consumer groups are.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type, { type Static } from 'typebox'
import { logSizes } from '../../../connectors/kafka/kafkajs/log-sizes.ts'
import { TOPICS } from '../../../topics/index.ts'
import type { TopicSpec } from '../../../topics/topic.ts'
import type { GroupOffsets } from '../../kafka/group-offsets.ts'
import type { ProcessContext } from '../../process.ts'
import { ProblemBody } from '../problem.ts'
import { TopicBody } from './topic-body.ts'

/** Consumer groups by the topic that they share; every other topic is tailed by each process, without a group that commits. */
const GROUPS: Readonly<Record<string, string>> = {
  'commands.v1': 'controller',
  'reads.v1': 'reader',
  'chunks.cpu.v1': 'scorer.cpu',
  'chunks.gpu.v1': 'scorer.gpu',
  'scored.table.v1': 'sink.table',
  'scored.files.v1': 'sink.files',
  'scored.kafka.v1': 'sink.kafka',
}

export function kafkaRoutes({ client }: ProcessContext, offsets: GroupOffsets): FastifyPluginAsyncTypebox {
  /** By full name. */
  function sizes(): Promise<Map<string, bigint>> {
    return offsets.ask('sizes', () => logSizes(client.kafka, TOPICS.map(client.topic)))
  }

  async function topic(spec: TopicSpec, sizes: ReadonlyMap<string, bigint>): Promise<Static<typeof TopicBody>> {
    const group = GROUPS[spec.name]
    const ends = await offsets.ends(spec)
    return {
      name: spec.name,
      topic: client.topic(spec),
      partitions: ends.length,
      offsets: Number(ends.reduce((sum, { low, high }) => sum + high - low, 0n)),
      size_bytes: Number(sizes.get(client.topic(spec)) ?? 0n),
      cleanup: spec.cleanup,
      groups: group === undefined ? [] : [await described(spec, group)],
    }
  }

  async function described(spec: TopicSpec, group: string): Promise<Static<typeof TopicBody>['groups'][number]> {
    const groupId = client.name(group)
    const [lags, { groups }] = await Promise.all([
      offsets.lags(spec, group),
      offsets.ask(`group ${groupId}`, (admin) => admin.describeGroups([groupId])),
    ])
    return {
      group,
      state: groups[0]?.state ?? 'Unknown',
      members: groups[0]?.members.length ?? 0,
      partitions: lags.map(({ partition, low, high, committed, lag }) => ({
        partition,
        start_offset: String(low),
        end_offset: String(high),
        committed_offset: committed === null ? null : String(committed),
        lag: Number(lag),
      })),
    }
  }

  return async (app) => {
    app.get(
      '/api/v1/kafka/topics',
      {
        config: { scope: 'read' },
        schema: {
          summary: "The service's topics: partitions, offsets, consumer groups and their lag",
          tags: ['cluster'],
          response: {
            200: Type.Object({ brokers: Type.Integer(), data: Type.Array(TopicBody) }),
            '4xx': ProblemBody,
          },
        },
      },
      async () => {
        const [cluster, known] = await Promise.all([
          offsets.ask('cluster', (admin) => admin.describeCluster()),
          sizes(),
        ])
        const data = await Promise.all(TOPICS.map((spec) => topic(spec, known)))
        return { brokers: cluster.brokers.length, data }
      },
    )
  }
}

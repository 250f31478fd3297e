// What the API says of a topic.
import Type, { type Static } from 'typebox'

export const TopicBody = Type.Object(
  {
    name: Type.String({ description: 'Without the prefix' }),
    topic: Type.String(),
    partitions: Type.Integer(),
    offsets: Type.Integer({ description: 'End minus start, of all partitions' }),
    size_bytes: Type.Integer({ description: 'On the disks of the brokers, all replicas' }),
    cleanup: Type.Enum(['compact', 'delete']),
    groups: Type.Array(
      Type.Object({
        group: Type.String({ description: 'Without the prefix' }),
        state: Type.String({ description: 'As Kafka calls it: Stable, Empty, PreparingRebalance, …' }),
        members: Type.Integer(),
        partitions: Type.Array(
          Type.Object({
            partition: Type.Integer(),
            start_offset: Type.String(),
            end_offset: Type.String(),
            committed_offset: Type.Union([Type.String(), Type.Null()]),
            lag: Type.Integer(),
          }),
        ),
      }),
    ),
  },
  { title: 'Topic' },
)

export type TopicBody = Static<typeof TopicBody>

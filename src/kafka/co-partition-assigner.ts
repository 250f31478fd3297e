// How a consumer group shares partitions: partition p of every topic goes to member p mod n. So the lanes of one job,
// which are neighbours, spread over all scorers, and a member owns the same partitions of each topic it reads.
import type { PartitionAssigner } from 'kafkajs'
import { AssignerProtocol } from '../../connectors/kafka/kafkajs/library.ts'

const NAME = 'ScorelineCoPartition'
const VERSION = 1

export const coPartitionAssigner: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  protocol: ({ topics }) => ({
    name: NAME,
    metadata: AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData: Buffer.alloc(0) }),
  }),
  assign: async ({ members, topics }) => {
    const memberIds = members.map((member) => member.memberId).sort()
    return memberIds.map((memberId, index) => {
      const assignment = Object.fromEntries(
        topics.map((topic) => [
          topic,
          cluster
            .findTopicPartitionMetadata(topic)
            .map((metadata) => metadata.partitionId)
            .filter((partition) => partition % memberIds.length === index),
        ]),
      )
      return {
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment,
          userData: Buffer.alloc(0),
        }),
      }
    })
  },
})

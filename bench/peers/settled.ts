// Until the service's consumer groups have settled: a scorer that has just started has no lanes before the others have let go of theirs.
import { Kafka, logLevel } from '../../connectors/kafka/kafkajs/library.ts'
import type { WholeService } from '../whole-service.ts'

const LOOK_MS = 500

/** Until no group is about to share its partitions anew and one of them has all the scorers. */
export async function settled({ brokers }: WholeService, scorers: number): Promise<void> {
  const admin = new Kafka({ clientId: 'bench', brokers: [brokers], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    for (;;) {
      const names = (await admin.listGroups()).groups.map(({ groupId }) => groupId)
      const { groups } = await admin.describeGroups(names)
      const scoring = groups.find(({ groupId }) => /scorer/.test(groupId))
      const stable = groups.every(({ state }) => ['Stable', 'Empty', 'Dead'].includes(state))
      if (stable && scoring?.members.length === scorers) return
      await new Promise((resume) => setTimeout(resume, LOOK_MS))
    }
  } finally {
    await admin.disconnect()
  }
}

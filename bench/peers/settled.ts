// Until the service's consumer groups have settled: a scorer that has just started has no lanes before the others have let go of theirs.
import type { Admin } from 'kafkajs'
import { Kafka, logLevel } from '../../connectors/kafka/kafkajs/library.ts'
import type { WholeService } from '../whole-service.ts'

const LOOK_MS = 500

/** Until no group is about to share its partitions anew and one of them has all the scorers. */
export async function settled({ brokers }: WholeService, scorers: number): Promise<void> {
  const admin = new Kafka({ clientId: 'bench', brokers: [brokers], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    while (!(await hasSettled(admin, scorers))) await new Promise((resume) => setTimeout(resume, LOOK_MS))
  } finally {
    await admin.disconnect()
  }
}

async function hasSettled(admin: Admin, scorers: number): Promise<boolean> {
  try {
    const names = (await admin.listGroups()).groups.map(({ groupId }) => groupId)
    const { groups } = await admin.describeGroups(names)
    const scoring = groups.find(({ groupId }) => /scorer/.test(groupId))
    const stable = groups.every(({ state }) => ['Stable', 'Empty', 'Dead'].includes(state))
    return stable && scoring?.members.length === scorers
  } catch (error) {
    // A broker that stood still for so long may take itself for one that was away, and loads its groups again.
    if ((error as { type?: string }).type === 'GROUP_LOAD_IN_PROGRESS') return false
    throw error
  }
}

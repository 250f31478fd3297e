// Who owned a partition last. Each commit of an owner carries its name, one is made when it takes the partition, and one
// without a name when it lets go in order. So whoever takes a partition over knows whether the last owner died at work.
import type { Consumer } from 'kafkajs'
import type { KafkaClient } from './client.ts'
import { logEnds, whileLeaderless } from './log-ends.ts'

type Admin = ReturnType<KafkaClient['kafka']['admin']>

/** Partition → the offset before which its last owner may have died. */
export type Orphans = ReadonlyMap<number, bigint>

export interface LaneOwners {
  /**
   * Puts the new owner's name on its partitions. Resolves to those whose last owner died, each with the end of its log: what
   * comes after that the dead one has not seen.
   */
  take(topic: string, partitions: readonly number[]): Promise<Orphans>
  /** Takes the name off: everything that was in hand is committed. */
  release(topic: string, partitions: readonly number[]): Promise<void>
}

/** `owner` is the client id of the group's member. */
export function laneOwners(consumer: Consumer, admin: Admin, groupId: string, owner: string): LaneOwners {
  async function committed(topic: string): Promise<Map<number, { offset: bigint; owner: string | null }>> {
    const [entry] = await whileLeaderless(() => admin.fetchOffsets({ groupId, topics: [topic] }))
    return new Map(
      (entry?.partitions ?? [])
        .filter(({ offset }) => offset !== '-1')
        .map(({ partition, offset, metadata }) => [partition, { offset: BigInt(offset), owner: metadata || null }]),
    )
  }

  async function mark(topic: string, offsets: readonly (readonly [number, bigint])[], metadata: string): Promise<void> {
    if (!offsets.length) return
    await consumer.commitOffsets(
      offsets.map(([partition, offset]) => ({ topic, partition, offset: String(offset), metadata })),
    )
  }

  return {
    take: async (topic, partitions) => {
      const before = await committed(topic)
      const others = partitions.filter((partition) => ![null, undefined, owner].includes(before.get(partition)?.owner))
      const { groups } = others.length ? await whileLeaderless(() => admin.describeGroups([groupId])) : { groups: [] }
      // The dead are out of the group before their partitions are given away.
      const members = new Set(groups.flatMap((group) => group.members.map(({ clientId }) => clientId)))
      const left = new Set(others.filter((partition) => !members.has(before.get(partition)?.owner as string)))
      const known = left.size === 0 && partitions.every((partition) => before.has(partition))
      const ends = new Map(known ? [] : (await logEnds(admin, topic)).map((end) => [end.partition, end]))
      // On orphans the dead one's name stays until something is committed: whoever may come in between must know as well.
      await mark(
        topic,
        partitions
          .filter((partition) => !left.has(partition))
          .map((partition) => [partition, before.get(partition)?.offset ?? ends.get(partition)?.low ?? 0n]),
        owner,
      )
      return new Map([...left].map((partition) => [partition, ends.get(partition)?.high ?? 0n]))
    },
    release: async (topic, partitions) => {
      const before = await committed(topic)
      const ours = partitions.filter((partition) => before.get(partition)?.owner === owner)
      await mark(
        topic,
        ours.map((partition) => [partition, (before.get(partition) as { offset: bigint }).offset]),
        '',
      )
    },
  }
}

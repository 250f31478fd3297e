// The coordinator of a transaction is remembered as long as it does what it is asked.
import { beforeEach, expect, test } from 'vitest'
import {
  type CoordinatorPrototype,
  rememberCoordinators,
  type TransactionCoordinator,
} from '../../../connectors/kafka/kafkajs/known-coordinator.ts'

const TRANSACTION = { groupId: 'controller.3', coordinatorType: 1 }

let asked: object[]
let steps: string[]
let failures: string[]
let connected: boolean

/** A cluster whose coordinators are brokers 1, 2, … in the order in which they are asked for. */
function cluster(): CoordinatorPrototype {
  class Cluster {
    async findGroupCoordinator(of: object): Promise<TransactionCoordinator> {
      asked.push(of)
      const id = asked.length
      const step = (name: string) => async () => {
        const type = failures.shift()
        steps.push(`${name} ${id}`)
        if (type) throw Object.assign(new Error(type), { type })
      }
      return {
        isConnected: () => connected,
        initProducerId: step('init'),
        addPartitionsToTxn: step('partitions'),
        addOffsetsToTxn: step('offsets'),
        endTxn: step('end'),
        txnOffsetCommit: step('commit'),
      }
    }
  }
  rememberCoordinators(Cluster.prototype)
  return new Cluster()
}

beforeEach(() => {
  asked = []
  steps = []
  failures = []
  connected = true
})

async function transaction(of: CoordinatorPrototype): Promise<void> {
  await (await of.findGroupCoordinator(TRANSACTION)).addPartitionsToTxn({})
  await (await of.findGroupCoordinator(TRANSACTION)).endTxn({})
}

test('it is asked for once, by each producer and transactional id', async () => {
  const one = cluster()
  await transaction(one)
  await transaction(one)
  expect(steps).toEqual(['partitions 1', 'end 1', 'partitions 1', 'end 1'])
  await one.findGroupCoordinator({ ...TRANSACTION, groupId: 'controller.4' })
  await cluster().findGroupCoordinator(TRANSACTION)
  expect(asked).toHaveLength(3)
})

test('that of the group whose offsets are in the transactions is asked for once too', async () => {
  const one = cluster()
  const group = { groupId: 'controller', coordinatorType: 0 }
  const consume = async () => {
    await (await one.findGroupCoordinator(TRANSACTION)).addOffsetsToTxn({})
    await (await one.findGroupCoordinator(group)).txnOffsetCommit({})
  }
  await consume()
  await consume()
  expect(steps).toEqual(['offsets 1', 'commit 2', 'offsets 1', 'commit 2'])
  failures = ['', 'NOT_COORDINATOR_FOR_GROUP']
  await consume()
  await consume()
  expect(steps.slice(4)).toEqual(['offsets 1', 'commit 2', 'commit 3', 'offsets 1', 'commit 4'])
})

test('a consumer group’s is asked for each time it is joined', async () => {
  const one = cluster()
  for (const of of [{ groupId: 'sink' }, { groupId: 'sink', coordinatorType: 0 }]) await one.findGroupCoordinator(of)
  expect(asked).toHaveLength(2)
})

test('another one is asked at once to do what the former would not', async () => {
  const one = cluster()
  failures = ['', 'NOT_COORDINATOR_FOR_GROUP']
  await transaction(one)
  await transaction(one)
  expect(steps).toEqual(['partitions 1', 'end 1', 'end 2', 'partitions 3', 'end 3'])
})

test('one that is still loading is asked again until it has done it', async () => {
  const one = cluster()
  failures = ['', 'GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE']
  await transaction(one)
  expect(steps).toEqual(['partitions 1', 'end 1', 'end 1', 'end 1'])
})

test('after any other failure, and when the connection is lost, it is asked for again', async () => {
  const one = cluster()
  failures = ['REQUEST_TIMED_OUT']
  await expect(transaction(one)).rejects.toThrow('REQUEST_TIMED_OUT')
  await transaction(one)
  connected = false
  await one.findGroupCoordinator(TRANSACTION)
  expect(asked).toHaveLength(3)
})

test('one that still writes the markers of the transaction before is the right one', async () => {
  const one = cluster()
  failures = ['CONCURRENT_TRANSACTIONS']
  await expect(transaction(one)).rejects.toThrow('CONCURRENT_TRANSACTIONS')
  await transaction(one)
  expect(asked).toHaveLength(1)
})

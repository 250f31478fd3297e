// A transaction's coordinator is asked for once, and again when it does not do what it is asked; so is that of the group whose offsets
// are in the transaction. kafkajs asks before each step of each transaction: four of its nine requests, and as many round trips, on
// the way of every job's states. One that has just become the coordinator is waited for: kafkajs does so for some steps, and fails the
// commit.
import { setTimeout as pause } from 'node:timers/promises'

/** What of kafkajs' broker its transactions use of a coordinator. */
export interface TransactionCoordinator {
  isConnected(): boolean
  initProducerId(request: object): Promise<unknown>
  addPartitionsToTxn(request: object): Promise<unknown>
  addOffsetsToTxn(request: object): Promise<unknown>
  endTxn(request: object): Promise<unknown>
  /** Of the group's coordinator. */
  txnOffsetCommit(request: object): Promise<unknown>
}

interface CoordinatorOf {
  readonly groupId: string
  readonly coordinatorType?: number
}

/** What of kafkajs' cluster, of which each producer has one. */
export interface CoordinatorPrototype {
  findGroupCoordinator(of: CoordinatorOf): Promise<TransactionCoordinator>
}

/** As the protocol numbers them. */
const GROUP = 0
const TRANSACTION = 1
/** Whoever is asked for another coordinator's transaction has done nothing. */
const NOT_COORDINATOR = 'NOT_COORDINATOR_FOR_GROUP'
/** It is the coordinator, and still writes the markers of the transaction before. */
const NOT_YET = 'CONCURRENT_TRANSACTIONS'
/** It becomes the coordinator, reads its log first, and has done nothing yet. */
const LOADING: readonly (string | undefined)[] = ['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE']
/** As long as a broker may be away (src/kafka/client.ts). */
const LOADED_MS = 60_000
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 1_000

export function rememberCoordinators(cluster: CoordinatorPrototype): void {
  const { findGroupCoordinator } = cluster
  const known = new WeakMap<CoordinatorPrototype, Map<string, TransactionCoordinator>>()

  cluster.findGroupCoordinator = async function (of: CoordinatorOf): Promise<TransactionCoordinator> {
    // Who has no transactions is a member of its group, and asks when it joins.
    if (of.coordinatorType !== TRANSACTION && !known.has(this)) return findGroupCoordinator.call(this, of)
    const mine = known.get(this) ?? new Map<string, TransactionCoordinator>()
    known.set(this, mine)
    const name = `${of.coordinatorType ?? GROUP}/${of.groupId}`
    const kept = mine.get(name)
    if (kept?.isConnected()) return kept
    const broker = await findGroupCoordinator.call(this, of)
    const forgetful = forgottenAtFailure(
      broker,
      () => mine.delete(name),
      () => findGroupCoordinator.call(this, of),
    )
    mine.set(name, forgetful)
    return forgetful
  }
}

/** The broker for as long as it answers. One that has just ceased to be the coordinator costs nothing: the next one is asked. */
function forgottenAtFailure(
  broker: TransactionCoordinator,
  forget: () => void,
  findAgain: () => Promise<TransactionCoordinator>,
): TransactionCoordinator {
  type Step = Exclude<keyof TransactionCoordinator, 'isConnected'>
  const step = (name: Step) => async (request: object) => {
    const since = performance.now()
    let asked = broker
    for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(ms * 2, LONGEST_PAUSE_MS)) {
      try {
        return await asked[name](request)
      } catch (error) {
        const { type } = error as { type?: string }
        if (type !== NOT_YET) forget()
        if (type === NOT_COORDINATOR && asked === broker) asked = await findAgain()
        else if (LOADING.includes(type) && performance.now() - since < LOADED_MS) await pause(ms)
        else throw error
      }
    }
  }
  return {
    isConnected: () => broker.isConnected(),
    initProducerId: step('initProducerId'),
    addPartitionsToTxn: step('addPartitionsToTxn'),
    addOffsetsToTxn: step('addOffsetsToTxn'),
    endTxn: step('endTxn'),
    txnOffsetCommit: step('txnOffsetCommit'),
  }
}

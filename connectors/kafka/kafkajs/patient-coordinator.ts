// A coordinator that nobody can name right now is looked for again. Where no broker answers (all of them restart), kafkajs calls
// that permanent, and a consumer that had to join again ends its process instead of waiting for the brokers.

/** What of kafkajs' cluster is used here. */
export interface ClusterPrototype {
  findGroupCoordinatorMetadata(of: unknown): Promise<unknown>
}

const NOBODY_ANSWERED = 'KafkaJSGroupCoordinatorNotFound'
/** Error after which the library reads the metadata again and repeats the question, as often as it repeats any. */
const ASKED_AGAIN = 'KafkaJSBrokerNotFound'

export function seekCoordinatorsPatiently(cluster: ClusterPrototype): void {
  const { findGroupCoordinatorMetadata } = cluster
  cluster.findGroupCoordinatorMetadata = async function (this: ClusterPrototype, of: unknown): Promise<unknown> {
    try {
      return await findGroupCoordinatorMetadata.call(this, of)
    } catch (error) {
      if ((error as Error).name !== NOBODY_ANSWERED) throw error
      throw Object.assign(error as Error, { name: ASKED_AGAIN, retriable: true })
    }
  }
}

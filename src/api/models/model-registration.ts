// Registers a model: checks the bytes, stores them by content, and gives them the next version number. Two API processes
// never give the same number: whoever registers first fences the others of the same partition, then reads what is there.
import { type ModelRecord, modelCodec, modelKey, modelsTopic } from '../../../topics/models.ts'
import { controlPartition } from '../../kafka/partitioner.ts'
import { openTransactionalWriter } from '../../kafka/transactions.ts'
import type { Views } from '../../kafka/views.ts'
import type { ModelStore } from '../../model/store.ts'
import type { ProcessContext } from '../../process.ts'
import { invalidRequest } from '../problem.ts'
import type { IsolatedModels } from './isolated-models.ts'

export interface Registration {
  readonly model: ModelRecord
  /** False: the newest version has these very bytes and features already. */
  readonly created: boolean
}

export class ModelRegistry {
  readonly #context: ProcessContext
  readonly #store: ModelStore
  readonly #isolated: IsolatedModels
  /** One registration after the other in this process; others are fenced. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(context: ProcessContext, store: ModelStore, isolated: IsolatedModels) {
    this.#context = context
    this.#store = store
    this.#isolated = isolated
  }

  /** Throws `HttpProblem` or `ModelError` when the bytes are no model that columns can feed. */
  async register(
    tenantId: string,
    modelId: string,
    bytes: Uint8Array,
    features: readonly string[] | undefined,
  ): Promise<Registration> {
    const inspected = await this.#isolated.inspect(bytes, features)
    if ('problems' in inspected) throw invalidRequest(inspected.problems)
    const stored = await this.#store.put(bytes)
    const turn = this.#turn.then(() =>
      this.#append({
        tenant_id: tenantId,
        model_id: modelId,
        bytes: BigInt(bytes.byteLength),
        ...stored,
        ...inspected,
      }),
    )
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #append(model: Omit<ModelRecord, 'version' | 'registered_at'>): Promise<Registration> {
    const { client, views } = this.#context
    const partition = controlPartition(model.tenant_id)
    const writer = await openTransactionalWriter(client, `models.${partition}`)
    try {
      await views.caughtUp()
      const newest = await views.findModel(model.tenant_id, model.model_id, null)
      if (newest && newest.sha256 === model.sha256 && newest.features.join() === model.features.join())
        return { model: newest, created: false }
      const record: ModelRecord = { ...model, version: (newest?.version ?? 0) + 1, registered_at: BigInt(Date.now()) }
      const seen = modelSeen(record, views)
      await writer.write(
        [{ topic: modelsTopic, partition, key: modelKey(record), value: modelCodec.encode(record) }],
        null,
      )
      // The commit is decided before readers see it; a job submitted right after the answer must find its model.
      await seen
      return { model: record, created: true }
    } finally {
      await writer.close()
    }
  }
}

function modelSeen(record: ModelRecord, { changes }: Views): Promise<void> {
  return new Promise((resolve) => {
    const onModel = (model: ModelRecord): void => {
      if (modelKey(model) !== modelKey(record)) return
      changes.off('model', onModel)
      resolve()
    }
    changes.on('model', onModel)
  })
}

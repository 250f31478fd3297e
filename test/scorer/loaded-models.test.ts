// The open models of a scorer, with a real one: which session is lent, and that none is left unreleased.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ModelError } from '../../src/model/model.ts'
import type { ModelSession } from '../../src/model/session.ts'
import { matchColumns } from '../../src/model/signature.ts'
import { openModelStore } from '../../src/model/store.ts'
import { type LoadedModel, LoadedModels } from '../../src/scorer/loaded-models.ts'
import { PLAN, running } from '../job/snapshots.ts'
import { expectNone, modelBytes, register } from '../model/fixtures.ts'
import { batchOf } from '../topics/vectors.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scoreline-loaded-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a chunk that fails for memory late lets go of its own session, not of one opened since', async () => {
  const { models, use } = await remainder()
  const [early, late] = [Promise.withResolvers<never>(), Promise.withResolvers<never>()]
  const first = Promise.withResolvers<ModelSession>()
  const failing = [
    use(({ session }) => {
      first.resolve(session)
      return early.promise
    }),
    use(() => late.promise),
  ]
  const old = await first.promise
  early.reject(new ModelError('memory_exceeded', 'too much'))
  await expect(failing[0]).rejects.toThrow('too much')
  const opened = await use(async ({ session }) => session)
  expect(opened).not.toBe(old)
  late.reject(new ModelError('out_of_memory', 'as well'))
  await expect(failing[1]).rejects.toThrow('as well')
  await expect(old.run({})).rejects.toMatchObject({ code: 'session_released' })
  expect(await use(async ({ session }) => session)).toBe(opened)
  await models.close()
  await expect(opened.run({})).rejects.toMatchObject({ code: 'session_released' })
})

test('a model that could not be had is asked for again', async () => {
  const { models, use, hide } = await remainder()
  const show = await hide()
  await expect(use(async () => 1)).rejects.toMatchObject({ code: 'model_store_unavailable' })
  await show()
  expect(await use(async () => 1)).toBe(1)
  await models.close()
})

async function remainder() {
  const bytes = modelBytes('test/fixtures/models/remainder.onnx')
  const { session, model } = await register(bytes)
  await session.release()
  const batch = batchOf([
    { name: 'a', kind: 'int32', values: [7] },
    { name: 'b', kind: 'int32', values: [3] },
  ])
  const { plan } = expectNone(matchColumns(model, batch.columns))
  const job = running({ plan: { ...PLAN, query_columns: [...batch.columns], scored_columns: [...plan.outputColumns] } })
  const store = await openModelStore(folder)
  const stored = await store.put(bytes)
  const record = {
    tenant_id: 'acme',
    model_id: 'remainder',
    version: 1,
    bytes: BigInt(bytes.length),
    registered_at: 0n,
    ...stored,
    ...model.signature,
    features: [...model.features],
  }
  const models = new LoadedModels(store, ['cpu'])
  return {
    models,
    use: <T>(work: (loaded: LoadedModel) => Promise<T>) => models.use(job, record, work),
    /** Takes the model's bytes away until the result is called. */
    hide: async () => {
      await rm(folder, { recursive: true })
      return async () => {
        await (await openModelStore(folder)).put(bytes)
      }
    },
  }
}

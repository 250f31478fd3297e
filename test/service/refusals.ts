// What the tests of refused requests share: a service, the form of a refusal, and that a refused request leaves nothing.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { OWN_SCHEMA } from '../../connectors/postgres/identifiers.ts'
import { CHURN_FEATURES, churnJob, listJobs, registerModel, seedCustomers } from '../harness/jobs.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'

export const MAX_ROWS = 1000

/** A service that takes no more than `MAX_ROWS` rows, with `customers` of just so many. Call it in beforeAll. */
export async function startRefusing(name: string): Promise<Service> {
  const service = await startService({ name, settings: { BATCH_MAX_INPUT_ROWS: String(MAX_ROWS) } })
  await seedCustomers(service, MAX_ROWS + 1, 'many_customers')
  await service.query(`CREATE VIEW customers AS SELECT * FROM many_customers WHERE customer_id <= ${MAX_ROWS}`)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  await registerModel(service, 'per-column', 'per-column.onnx')
  await service.query('CREATE SCHEMA predictions')
  mkdirSync(service.outputDir, { recursive: true })
  return service
}

/** No job is there but those that a test has told of. */
export async function expectNoJobs(service: Service, known: readonly string[] = []): Promise<void> {
  const started = (await listJobs(service)).filter(({ job_id }) => !known.includes(job_id))
  expect(started, 'nothing may have been started').toEqual([])
}

/** Nothing is there that a refused request could have left. */
export async function expectUntouched(service: Service): Promise<void> {
  expect(await service.query('SELECT nspname FROM pg_namespace WHERE nspname = $1', [OWN_SCHEMA])).toEqual([])
  expect(await service.query("SELECT to_regclass('predictions.churn_scores') AS found")).toEqual([{ found: null }])
  for (const name of ['inside', 'beside', '_scoreline', '../beside'])
    expect(existsSync(join(service.outputDir, name))).toBe(false)
}

export interface Refusal {
  readonly status?: number
  readonly code: string
  /** Of the only fault; null: the request as a whole is at fault, and no field. */
  readonly pointer: string | null
  /** What the detail must say. */
  readonly says?: RegExp
}

export type Answer = Awaited<ReturnType<Service['request']>>

export function expectRefusal({ status, body, headers }: Answer, expected: Refusal): void {
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(body, JSON.stringify(body)).toMatchObject({
    type: `urn:scoreline:problem:${expected.code}`,
    title: expect.stringMatching(/^[A-Z]/),
    status: expected.status ?? 400,
    code: expected.code,
    detail: expect.stringMatching(expected.says ?? /.{15}/),
  })
  expect(status).toBe(expected.status ?? 400)
  if (expected.pointer === null) expect(body.errors).toBeUndefined()
  else expect(body.errors).toEqual([{ pointer: expected.pointer, code: expected.code, detail: body.detail }])
}

/** A job that would be accepted, with fields replaced; a field that is undefined is left out. */
export function jobWith(parts: {
  input?: JsonObject
  output?: JsonObject
  config?: JsonObject
  model_id?: unknown
}): JsonObject {
  const good = churnJob()
  return {
    model_id: 'model_id' in parts ? parts.model_id : good.model_id,
    input: { ...good.input, ...parts.input },
    output: { ...good.output, ...parts.output },
    config: { ...good.config, ...parts.config },
  }
}

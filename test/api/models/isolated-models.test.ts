// Running models for the API in processes of their own: what comes back, and what becomes of those that take too much or never end.
import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { IsolatedModels } from '../../../src/api/models/isolated-models.ts'
import { until } from '../../harness/until.ts'
import { modelBytes } from '../../model/fixtures.ts'

const LOG = pino({ level: 'silent' })
const REGRESSOR = modelBytes('test/fixtures/models/regressor.onnx')
const inspected = { inputs: [{ name: 'x', type: 'float32', shape: [-1, 2] }], outputs: [{ shape: [-1, 1] }] }

let isolated: IsolatedModels
beforeEach(() => {
  isolated = new IsolatedModels(LOG, { inspectMs: 20_000, sampleMs: 20_000 })
})
afterEach(async () => {
  isolated.close()
  await until(async () => (await children()).length === 0, { what: 'the processes to have ended' })
})

/** The processes that run models now. */
async function children(): Promise<number[]> {
  const lists = (await readdir('/proc/self/task')).map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8'))
  const pids = (await Promise.all(lists)).join(' ').match(/\d+/g) ?? []
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.map(Number).filter((_, i) => commands[i]?.includes('isolated-process'))
}

test('one process is kept for the next model, and none of its files', async () => {
  expect(await isolated.inspect(REGRESSOR, ['a', 'b'])).toMatchObject({ ...inspected, features: ['a', 'b'] })
  const before = await children()
  expect(before).toHaveLength(1)
  expect(await isolated.inspect(REGRESSOR, ['c', 'd'])).toMatchObject({ features: ['c', 'd'] })
  expect(await children()).toEqual(before)
  expect((await readdir(tmpdir())).filter((name) => name.startsWith('scoreline-model-'))).toEqual([])
})

test('what is wrong with a model is told as ever', async () => {
  expect(await isolated.inspect(REGRESSOR, ['a'])).toMatchObject({ problems: [{ pointer: expect.any(String) }] })
  const noModel = modelBytes('test/fixtures/models/not-onnx.bin')
  await expect(isolated.inspect(noModel, undefined)).rejects.toMatchObject({ code: 'model_invalid' })
})

test('one that does not end is ended, and the next has a process of its own', async () => {
  // To start a process takes half a second of an idle machine.
  const hasty = new IsolatedModels(LOG, { inspectMs: 6_000, sampleMs: 6_000 })
  await hasty.inspect(REGRESSOR, ['a', 'b'])
  const [first] = await children()
  process.kill(first as number, 'SIGSTOP')
  await expect(hasty.inspect(REGRESSOR, ['a', 'b'])).rejects.toMatchObject({
    code: 'model_too_slow',
    message: 'the model was not done within 6 s',
  })
  expect(await hasty.inspect(REGRESSOR, ['a', 'b'])).toMatchObject(inspected)
  expect(await children()).not.toContain(first)
  hasty.close()
})

test('a process that was ended from outside is not asked', async () => {
  await isolated.inspect(REGRESSOR, ['a', 'b'])
  for (const pid of await children()) process.kill(pid, 'SIGKILL')
  await until(async () => (await children()).length === 0)
  expect(await isolated.inspect(REGRESSOR, ['a', 'b'])).toMatchObject(inspected)
})

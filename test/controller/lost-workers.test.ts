// Which workers are forgotten: those not heard of for an hour, by the owner of their partition alone.
import { expect, test } from 'vitest'
import { forgottenWorkers } from '../../src/controller/lost-workers.ts'
import { CONTROL_PARTITIONS } from '../../topics/topic.ts'
import { WORKER_KEPT_MS } from '../../topics/workers.ts'

const NOW = 1_800_000_000_000

test('each one once, and none that was heard of since', () => {
  const worker = (name: string, ago: number) => ({ worker_id: name, at: BigInt(NOW - ago) })
  const lost = Array.from({ length: 30 }, (_, i) => worker(`scorer-${i}`, WORKER_KEPT_MS + i))
  const here = Array.from({ length: 30 }, (_, i) => worker(`reader-${i}`, WORKER_KEPT_MS - 1 - i))
  const records = Array.from({ length: CONTROL_PARTITIONS }, (_, partition) =>
    forgottenWorkers([...here, ...lost], partition, NOW),
  ).flat()
  expect(records.map(({ key }) => key).sort()).toEqual(lost.map(({ worker_id }) => worker_id).sort())
  expect(new Set(records.map(({ partition }) => partition)).size).toBeGreaterThan(3)
  expect(records.every(({ value, topic }) => value === null && topic.name === 'workers.v1')).toBe(true)
})

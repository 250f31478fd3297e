// The dashboard's rules that need no browser.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FlowNode, Job } from '../../web/client/types.ts'
import { quoted } from '../../web/job/copyables.ts'
import { type Box, LYING_WIDTH, layoutGraph } from '../../web/job/graph-layout.ts'
import { groupByReason } from '../../web/job/group-reasons.ts'
import { timelineOf } from '../../web/job/moments.ts'
import { paceOf } from '../../web/job/pace.ts'
import { ratesOf, withSample } from '../../web/job/rates.ts'
import { filterOf, searchOf } from '../../web/jobs/filter.ts'
import { merged, newestFirst } from '../../web/jobs/job-order.ts'
import { idOfFile, tensorText } from '../../web/models/tensor-text.ts'
import { bodyOf, draftOf, faultsOf } from '../../web/new-job/draft.ts'
import { bytes, duration, localTime, relative } from '../../web/parts/format.ts'
import { assignSlots } from '../../web/parts/slots.ts'
import { scrollFor, windowOf } from '../../web/parts/window.ts'
import { lanesText } from '../../web/workers/lanes-text.ts'

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1_000, '1.0 s'],
  [59_940, '59.9 s'],
  [59_960, '1 m 00 s'],
  [3_599_400, '59 m 59 s'],
  [3_600_000, '1 h 00 m'],
  [90_000_000, '1 d 1 h'],
])('%d ms is %s', (ms, text) => expect(duration(ms)).toBe(text))

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_500, '1.5 KB'],
  [150_400_000, '150 MB'],
])('%d bytes are %s', (size, text) => expect(bytes(size)).toBe(text))

test('times are those of the zone, and today’s have no date', () => {
  const at = Date.UTC(2026, 2, 29, 1, 30)
  expect(localTime(at, at, 'Europe/Berlin')).toBe('03:30:00')
  expect(localTime(at, at + 86_400_000, 'Europe/Berlin')).toBe('2026-03-29 03:30:00')
  expect([relative(at, at + 65_000), relative(at, at - 7_200_000), relative(at, at)]).toEqual([
    '1 m ago',
    'in 2 h',
    'now',
  ])
})

test('the rows drawn cover what is in view, wherever it is scrolled', () => {
  const view = fc.record({
    count: fc.nat(20_000),
    rowHeight: fc.integer({ min: 10, max: 100 }),
    scrollTop: fc.nat(900_000),
    height: fc.integer({ min: 1, max: 2_000 }),
    overscan: fc.nat(20),
  })
  fc.assert(
    fc.property(view, (at) => {
      const { first, end } = windowOf(at)
      expect(first).toBeGreaterThanOrEqual(0)
      expect(end).toBeLessThanOrEqual(at.count)
      const seen = (row: number): boolean =>
        row * at.rowHeight < at.scrollTop + at.height && (row + 1) * at.rowHeight > at.scrollTop
      for (const row of [first - 1, end]) if (row >= 0 && row < at.count) expect(seen(row)).toBe(false)
      expect(end - first).toBeLessThanOrEqual(at.height / at.rowHeight + 2 * at.overscan + 3)
    }),
  )
})

test('rows in view keep their elements, and those that come take the elements of those that left', () => {
  const view = fc.record({ first: fc.nat(60), count: fc.integer({ min: 1, max: 20 }) })
  fc.assert(
    fc.property(fc.array(view, { minLength: 2 }), (views) => {
      let before = new Map<string, number>()
      for (const { first, count } of views) {
        const ids = Array.from({ length: count }, (_, i) => `batch-${first + i}`)
        const after = assignSlots(before, ids)
        expect([...after.keys()].sort()).toEqual([...ids].sort())
        expect(new Set(after.values()).size).toBe(ids.length)
        for (const id of ids) if (before.has(id)) expect(after.get(id)).toBe(before.get(id))
        expect(Math.max(...after.values())).toBeLessThan(20)
        before = after
      }
    }),
  )
  expect([
    ...assignSlots(
      new Map([
        ['a', 0],
        ['b', 1],
      ]),
      ['b', 'c'],
    ),
  ]).toEqual([
    ['b', 1],
    ['c', 0],
  ])
})

test('a row is scrolled to only as far as it takes', () => {
  const view = { count: 100, rowHeight: 10, scrollTop: 100, height: 50, overscan: 0 }
  expect([9, 10, 14, 15].map((row) => scrollFor(row, view))).toEqual([90, null, null, 110])
})

describe('the list of jobs', () => {
  const job = (n: number, status: Job['status'] = 'running'): Job =>
    ({ job_id: `batch-${n}`, submitted_at: new Date(n * 1_000).toISOString(), status }) as Job
  const any = () => true

  test('is in order with each job once, however they come', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(30))), (batches) => {
        let jobs: Job[] = []
        for (const batch of batches)
          jobs = merged(
            jobs,
            batch.map((n) => job(n)),
            any,
            false,
          )
        const ids = [...new Set(batches.flat())]
        expect(jobs).toHaveLength(ids.length)
        expect(jobs).toEqual([...jobs].sort(newestFirst))
      }),
    )
  })

  test('leaves out what the filter refuses, and what belongs to pages that are not loaded', () => {
    const jobs = [job(5), job(3)]
    expect(merged(jobs, [job(5, 'failed')], ({ status }) => status === 'running', false)).toEqual([job(3)])
    expect(merged(jobs, [job(1)], any, true)).toEqual(jobs)
    expect(merged(jobs, [job(4)], any, true)).toEqual([job(5), job(4), job(3)])
  })

  test('has its filter in the address', () => {
    const filter = { states: ['running', 'failed'], model: 'a&b', text: 'x y' } as const
    expect(filterOf(searchOf(filter))).toEqual(filter)
    expect(searchOf(filterOf('?state=nonsense'))).toBe('')
  })
})

test('reasons that differ in values only are one', () => {
  const row = (reason: string) => ({ id: reason, key: null, reason, input: {}, at: '' })
  const groups = groupByReason([
    row("plan 'a' is unknown"),
    row("plan 'b' is unknown"),
    row('visits is NULL'),
    row('visits is NULL'),
    row('visits is NULL'),
    row('12.5 is too large'),
    row('-3e9 is too large'),
  ])
  expect(groups.map(({ reason, rows }) => [reason, rows.length])).toEqual([
    ['visits is NULL', 3],
    ['plan … is unknown', 2],
    ['… is too large', 2],
  ])
})

test('boxes and labels of a dataflow never overlap, and stay within its width', () => {
  const apart = (a: Box, b: Box): boolean =>
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
  fc.assert(
    fc.property(fc.integer({ min: 280, max: LYING_WIDTH + 800 }), fc.integer({ min: 1, max: 8 }), (width, sinks) => {
      const layout = layoutGraph(width, sinks)
      const boxes = [layout.reader, layout.scorer, ...layout.sinks, ...layout.lines.map(({ label }) => label)]
      boxes.forEach((box, i) => {
        expect(box.x).toBeGreaterThanOrEqual(0)
        expect(box.x + box.width).toBeLessThanOrEqual(width)
        expect(box.y + box.height).toBeLessThanOrEqual(layout.height)
        for (const other of boxes.slice(i + 1)) expect(apart(box, other)).toBe(true)
      })
    }),
  )
})

test('rates are those of the last seconds, and begin anew with an attempt', () => {
  const answer = (at: number, rows: number, attempt = 1) =>
    ({ at: new Date(at).toISOString(), attempt, nodes: [{ rows }], edges: [], job_id: 'a' }) as never
  let samples = withSample([], answer(0, 0))
  expect(ratesOf(samples)).toEqual([])
  for (let at = 1_000; at <= 10_000; at += 1_000) samples = withSample(samples, answer(at, at <= 5_000 ? at : 5_000))
  expect(ratesOf(samples)).toEqual([0])
  expect(samples.length).toBeLessThan(6)
  samples = withSample(withSample(samples, answer(11_000, 10, 2)), answer(12_000, 510, 2))
  expect(ratesOf(samples)).toEqual([500])
})

describe('what happened to a job', () => {
  const at = (seconds: number): string => new Date(seconds * 1_000).toISOString()
  const job = (more: Partial<Job>): Job =>
    ({
      status: 'running',
      submitted_at: at(0),
      started_at: at(5),
      queue_position: null,
      waiting_for: null,
      past_waits: [],
      failed_attempts: [],
      history: [],
      attempt: 1,
      finished_at: null,
      error: null,
      ...more,
    }) as Job
  const told = (of: Job, now = 100) =>
    timelineOf(of, now * 1_000).map(({ title, lastedMs }) => [title, lastedMs === null ? null : lastedMs / 1_000])

  test('its states and attempts, with what each took', () => {
    const history: Job['history'] = [
      { status: 'preparing', attempt: 1, at: at(5) },
      { status: 'running', attempt: 1, at: at(6) },
      { status: 'running', attempt: 2, at: at(11) },
      { status: 'completing', attempt: 2, at: at(20) },
      { status: 'completed', attempt: 2, at: at(21) },
    ]
    const failed_attempts = [{ attempt: 1, error: { code: 'lost', message: 'a reader' }, at: at(10) }]
    const done = job({ status: 'completed', history, failed_attempts })
    expect(told(done)).toEqual([
      ['Submitted', 5],
      ['Preparing', 1],
      ['Running', 4],
      ['Attempt 1 failed', 1],
      ['Running, attempt 2', 9],
      ['Completing', 1],
      ['Completed', null],
    ])
    expect(timelineOf(done, 0)[0]?.detail).toContain('places, which other jobs had')
  })

  test('a job of a version that kept no history has its beginning and its end', () => {
    expect(told(job({ status: 'completed', attempt: 2, finished_at: at(9) }))).toEqual([
      ['Submitted', 5],
      ['Preparing', 4],
      ['Completed', null],
    ])
  })

  test('what it stood still for, and that it went on', () => {
    const history: Job['history'] = [{ status: 'running', attempt: 1, at: at(6) }]
    const wait = { code: 'cpu_worker', message: 'no scorer', since: at(8) }
    expect(told(job({ history, waiting_for: wait }))).toEqual([
      ['Submitted', 6],
      ['Running', 2],
      ['Stands still', 92],
    ])
    expect(told(job({ history, past_waits: [{ ...wait, until: at(9) }] })).slice(2)).toEqual([
      ['Stood still', 1],
      ['Went on', 91],
    ])
    // Where it went on with a state, that says so.
    const over: Job['history'] = [...history, { status: 'cancelled', attempt: 1, at: at(9) }]
    expect(told(job({ status: 'cancelled', history: over, past_waits: [{ ...wait, until: at(9) }] })).slice(2)).toEqual(
      [
        ['Stood still', 1],
        ['Cancelled', null],
      ],
    )
  })
})

test('the busiest stage sets the pace, unless none has much to do', () => {
  const node = (role: 'reader' | 'scorer' | 'sink', busy_share: number | null, done = false) =>
    ({ role, busy_share, done }) as FlowNode
  expect(paceOf([node('reader', null), node('scorer', null)])).toBeNull()
  expect(paceOf([node('reader', 0.2), node('scorer', 0.97), node('sink', 0.5)])).toMatch(
    /^Scoring .*busy 97 % of the time/,
  )
  expect(paceOf([node('reader', 0.99, true), node('scorer', 0.7)])).toMatch(/^Scoring/)
  expect(paceOf([node('reader', 0.3), node('scorer', 0.1)])).toBe('No stage is at its limit.')
})

test('a request becomes a draft and the same request again', () => {
  const request = {
    model_id: 'churn',
    input: { source: 'sql', query: 'SELECT 1', connection: 'warehouse', key_column: 'id' },
    outputs: [
      { destination: 'table', table_name: 'a.b', mode: 'upsert', key_columns: ['id'] },
      { destination: 'csv', path: 'p/', mode: 'append', compression: 'gzip' },
    ],
    config: { batch_size: 7 },
  }
  expect(bodyOf(draftOf(request))).toEqual(request)
})

test('a fault belongs to the field that it points at', () => {
  const faults = ['/output/table_name', '/outputs/1/path', '/input/query', '/model_id', '/config'].map((pointer) => ({
    pointer,
    detail: pointer,
  }))
  const at = (field: Parameters<typeof faultsOf>[1]) => faultsOf(faults, field).map(({ pointer }) => pointer)
  expect([at('output0'), at('output1'), at('query'), at('model')]).toEqual([
    ['/output/table_name'],
    ['/outputs/1/path'],
    ['/input/query'],
    ['/model_id'],
  ])
  expect(at('')).toEqual(['/config'])
})

test('small texts', () => {
  expect(quoted("it's")).toBe(`'it'\\''s'`)
  expect(lanesText([3, 1, 0, 7])).toBe('0–1, 3, 7')
  expect(lanesText([])).toBe('–')
  expect(idOfFile('Churn Model (v2).onnx')).toBe('churn-model-v2')
  expect(tensorText({ name: 'x', type: 'float32', shape: [-1, 3] })).toBe('x float32[any, 3]')
})

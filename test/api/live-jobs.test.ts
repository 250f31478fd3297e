// What the API knows of ten thousand jobs: places in the queue, pages and filters, without sorting for each answer.
import { beforeAll, describe, expect, test } from 'vitest'
import { jobFilter } from '../../src/api/jobs/job-filter.ts'
import { LiveJobs } from '../../src/api/jobs/live-jobs.ts'
import { cursorPlace } from '../../src/api/paging.ts'
import { Views } from '../../src/kafka/views.ts'
import type { JobSnapshot } from '../../topics/jobs.ts'
import { running, submitted } from '../job/snapshots.ts'

const JOBS = 10_000
const views = new Views()
let live: LiveJobs

function put(job: JobSnapshot): void {
  views.jobs.set(job.job_id, job)
  views.changes.emit('job', job)
}

/** Two jobs of each moment, ids in no order. */
function waiting(i: number): JobSnapshot {
  const id = ((i * 7919) % JOBS).toString(16).padStart(20, '0')
  return submitted({ job_id: `batch-${id}`, submitted_at: BigInt(1_000 * Math.floor(i / 2)) })
}

function list(query: Parameters<typeof jobFilter>[0], tenantId = 'acme'): string[] {
  return live.list(tenantId, jobFilter(query), null, JOBS).entries.map(({ job_id }) => job_id)
}

beforeAll(() => {
  // Half is there when the API starts, half comes later; in no order, as the partitions give them.
  const order = Array.from({ length: JOBS }, (_, i) => (i * 6_007) % JOBS)
  for (const i of order.slice(0, JOBS / 2)) views.jobs.set(waiting(i).job_id, waiting(i))
  live = new LiveJobs(views)
  for (const i of order.slice(JOBS / 2)) put(waiting(i))
})

test('each of ten thousand waiting jobs knows its place', () => {
  const oldestFirst = list({}).reverse()
  const places = oldestFirst.map((id) => live.status(views.jobs.get(id) as JobSnapshot).queue_position)
  expect(places).toEqual(oldestFirst.map((_, i) => i + 1))
})

test('pages put together are the list: newest first, then by id', () => {
  const sorted = [...views.jobs.values()]
    .sort((a, b) => Number(b.submitted_at - a.submitted_at) || (a.job_id < b.job_id ? 1 : -1))
    .map(({ job_id }) => job_id)
  const paged: string[] = []
  let next: string | null = null
  do {
    const page = live.list('acme', jobFilter({}), cursorPlace(next ?? undefined), 1_000)
    paged.push(...page.entries.map(({ job_id }) => job_id))
    next = page.next
  } while (next !== null)
  expect(paged).toEqual(sorted)
})

test('a job that starts or vanishes moves those behind it up', () => {
  const [first, second, third] = list({}).reverse() as [string, string, string]
  const place = (id: string) => live.status(views.jobs.get(id) as JobSnapshot).queue_position
  put({ ...(views.jobs.get(first) as JobSnapshot), status: 'preparing', started_at: 9n })
  expect([place(first), place(second), place(third)]).toEqual([null, 1, 2])
  const gone = views.jobs.get(second) as JobSnapshot
  views.jobs.delete(second)
  views.changes.emit('jobGone', gone)
  expect(place(third)).toBe(1)
  expect(list({})).not.toContain(second)
  expect(list({})).toContain(first)
})

test('a job that waits for something else than a place holds nobody up', () => {
  const initech = { tenant_id: 'initech', submitted_at: 1n }
  const lack = { code: 'no_gpu_scorer', message: 'start one', since: 2n }
  put(submitted({ ...initech, job_id: 'batch-1' }))
  put(submitted({ ...initech, job_id: 'batch-2' }))
  const place = () => live.status(views.jobs.get('batch-2') as JobSnapshot).queue_position
  expect(place()).toBe(2)
  put(submitted({ ...initech, job_id: 'batch-1', waiting_for: lack }))
  expect(place()).toBe(1)
  put(submitted({ ...initech, job_id: 'batch-1' }))
  expect(place()).toBe(2)
})

describe('filters', () => {
  beforeAll(() => {
    const job = (id: string, change: Partial<JobSnapshot>) =>
      put(running({ job_id: id, tenant_id: 'globex', submitted_at: 1_700_000_000_000n, ...change }))
    const into = (change: object) => [{ ...(submitted().outputs[0] as JobSnapshot['outputs'][number]), ...change }]
    job('batch-a', { model_id: 'churn', model_version: 2, schedule_id: 'schedule-1' })
    job('batch-b', {
      model_id: 'risk',
      outputs: into({ destination: 'kafka', table_name: null, topic: 'Scores.Daily' }),
    })
    job('batch-c', {
      status: 'failed',
      submitted_at: 1_700_000_000_001n,
      outputs: into({ destination: 'csv', path: 'x/' }),
    })
    job('batch-d', { status: 'completed', submitted_at: 1_700_000_000_002n })
  })

  test.each([
    [{}, 'dcba'],
    [{ status: 'running' }, 'ba'],
    [{ status: 'failed,completed' }, 'dc'],
    [{ model_id: 'churn' }, 'dca'],
    [{ model_id: 'churn@2' }, 'a'],
    [{ model_id: 'chur' }, ''],
    [{ destination: 'kafka,csv' }, 'cb'],
    [{ schedule_id: 'schedule-1' }, 'a'],
    [{ submitted_from: '2023-11-14T22:13:20.001Z' }, 'dc'],
    [{ submitted_before: '2023-11-14T22:13:20.001Z' }, 'ba'],
    [{ submitted_from: '2023-11-14T23:13:20.001+01:00', submitted_before: '2023-11-14T22:13:20.002Z' }, 'c'],
    [{ submitted_from: '2023-11-15' }, ''],
    [{ search: 'scores.d' }, 'b'],
    [{ search: 'CHURN' }, 'dca'],
    [{ search: 'batch-c' }, 'c'],
    [{ search: 'risk@3', status: 'running' }, 'b'],
    [{ search: 'customers' }, ''],
  ])('%j', (query, ids) => expect(list(query, 'globex').join('').replaceAll('batch-', '')).toBe(ids))

  test('pages go on within a range of time', () => {
    const filter = jobFilter({ submitted_before: '2023-11-14T22:13:20.002Z', status: 'running,failed' })
    const first = live.list('globex', filter, null, 2)
    expect(first.entries.map(({ job_id }) => job_id)).toEqual(['batch-c', 'batch-b'])
    const second = live.list('globex', filter, cursorPlace(first.next ?? undefined), 2)
    expect([second.entries.map(({ job_id }) => job_id), second.next]).toEqual([['batch-a'], null])
  })

  test('everything that is wrong is said at once', () => {
    const wrong = { status: 'done', destination: 'csv,tape', submitted_from: 'monday', submitted_before: '2023-02-30x' }
    expect(() => jobFilter(wrong)).toThrow(
      expect.objectContaining({
        status: 400,
        errors: Object.keys(wrong).map((field) => expect.objectContaining({ code: 'invalid', pointer: `/${field}` })),
      }),
    )
  })
})

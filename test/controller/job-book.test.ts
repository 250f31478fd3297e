// The controller's decisions on plain data: commands, the ledger and the clock go in, snapshots come out.
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { JobBook } from '../../src/controller/job-book.ts'
import { jobIdOfKey, jobIdOfRecord } from '../../src/job/identity.ts'
import { isActive } from '../../src/job/machine.ts'
import { type LivePools, livePools } from '../../src/job/pools.ts'
import { newWebhook } from '../../src/job/webhook.ts'
import type { CancelCommand, SubmitCommand } from '../../topics/commands.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { BARE_OUTPUT, isTerminal, type JobSnapshot } from '../../topics/jobs.ts'
import type { ProgressEntry } from '../../topics/progress.ts'
import type { WorkerHeartbeat } from '../../topics/workers.ts'
import { entry, PLAN, running, submitted } from '../job/snapshots.ts'

const CPU: LivePools = new Set(['cpu'])
const LIMITS = { maxConcurrentJobs: 2, defaultParallelism: 4, resultTtlHours: 168 }
const ORIGIN = { topic: 'inference.commands.v1', partition: 3, offset: 12n }
const BODY = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT * FROM customers' },
  output: { destination: 'table', table_name: 'predictions.churn_scores' },
}
const API_PLAN = { ...PLAN, total_rows: '1000', model_version: 3 }

function submit(key: string, tenant_id = 'acme', job: unknown = BODY): SubmitCommand {
  return { type: 'submit', tenant_id, idempotency_key: key, job, plan: API_PLAN }
}

function cancel(job_id: string, tenant_id = 'acme'): CancelCommand {
  return { type: 'cancel', tenant_id, job_id }
}

function ledgerOf(...entries: ProgressEntry[]): ReadonlyMap<string, ProgressEntry> {
  return new Map(entries.map((each) => [`${each.stage}/${each.lane}`, each]))
}

function jobIn(book: JobBook, jobId: string): JobSnapshot {
  const job = book.get(jobId)
  if (!job) throw new Error(`no job ${jobId}`)
  return job
}

describe('commands', () => {
  let book: JobBook
  beforeEach(() => {
    book = new JobBook([], LIMITS)
  })

  test('a submission with a plan of the API is ready to be admitted', () => {
    expect(book.command(submit('k1'), ORIGIN, 5_000)).toBeNull()
    const job = jobIn(book, jobIdOfKey('acme', 'k1'))
    expect(job).toMatchObject({ status: 'submitted', plan: PLAN, model_version: 3, config: { parallelism: 4 } })
    expect(book.takeChanges()).toEqual([job])
    expect(book.takeChanges()).toEqual([])
  })

  test('without a key the record is the identity, so its replay finds the job', () => {
    const command: SubmitCommand = { type: 'submit', tenant_id: 'acme', job: BODY }
    book.command(command, ORIGIN, 5_000)
    book.takeChanges()
    expect(book.command(command, ORIGIN, 6_000)).toBeNull()
    expect(book.takeChanges()).toEqual([])
    expect(book.get(jobIdOfRecord(ORIGIN.topic, 3, 12n))).toMatchObject({ submitted_at: 5_000n, plan: null })
    book.command(command, { ...ORIGIN, offset: 13n }, 7_000)
    expect(book.takeChanges()).toHaveLength(1)
  })

  test('a forwarded command is one job, however often it was forwarded', () => {
    // What the controller of the wrong partition adds: where the record lay.
    const forwarded = { ...submit('inference.commands.v1/7/40'), plan: undefined } as unknown as SubmitCommand
    book.command(forwarded, { ...ORIGIN, offset: 20n }, 5_000)
    book.command(forwarded, { ...ORIGIN, offset: 21n }, 5_001)
    expect(book.takeChanges().map(({ job_id }) => job_id)).toEqual([jobIdOfKey('acme', 'inference.commands.v1/7/40')])
  })

  test('a key with another body is a conflict and changes nothing', () => {
    book.command(submit('k1'), ORIGIN, 5_000)
    book.takeChanges()
    const reason = book.command(submit('k1', 'acme', { ...BODY, model_id: 'other' }), ORIGIN, 6_000)
    expect(reason).toContain(jobIdOfKey('acme', 'k1'))
    expect(reason).toContain('use another idempotency_key')
    expect(book.takeChanges()).toEqual([])
  })

  test('a key belongs to its tenant', () => {
    book.command(submit('k1', 'acme'), ORIGIN, 5_000)
    expect(book.command(submit('k1', 'other', { ...BODY, model_id: 'x' }), ORIGIN, 5_000)).toBeNull()
    expect(book.takeChanges()).toHaveLength(2)
  })

  test.each([{ query_columns: [5] }, { scored_columns: [null] }, { output_columns: [[7]] }, { model_version: 3e9 }])(
    'a plan that cannot be written down, as %j, is made again',
    (fault) => {
      const command = { ...submit('k1'), plan: { ...API_PLAN, ...fault } } as SubmitCommand
      expect(book.command(command, ORIGIN, 5_000)).toBeNull()
      const [job] = book.takeChanges()
      expect(job).toMatchObject({ status: 'submitted', plan: null, model_version: null })
      expect(() => jobCodec.encode(job as JobSnapshot)).not.toThrow()
    },
  )

  test('a body that is refused is a failed job that nothing starts, plan or not', () => {
    expect(book.command(submit('k1', 'acme', { model_id: 'churn' }), ORIGIN, 5_000)).toBeNull()
    book.admit([], 6_000, CPU)
    expect(book.get(jobIdOfKey('acme', 'k1'))).toMatchObject({ status: 'failed', error: { code: 'invalid_request' } })
    expect([...book.active(), ...book.due()]).toEqual([])
  })

  test('a cancel of a job that is not there, or is not the tenant’s, is refused with the reason', () => {
    expect(book.command(cancel('batch-9'), ORIGIN, 5_000)).toBe('tenant acme has no job batch-9')
    book.command(submit('k1'), ORIGIN, 5_000)
    book.takeChanges()
    const jobId = jobIdOfKey('acme', 'k1')
    expect(book.command(cancel(jobId, 'other'), ORIGIN, 5_000)).toBe(`tenant other has no job ${jobId}`)
    expect(book.takeChanges()).toEqual([])
  })

  test('a cancel ends the job, a second one changes nothing', () => {
    book.command(submit('k1'), ORIGIN, 5_000)
    const jobId = jobIdOfKey('acme', 'k1')
    expect(book.command(cancel(jobId), ORIGIN, 6_000)).toBeNull()
    expect(book.get(jobId)).toMatchObject({ status: 'cancelled', finished_at: 6_000n })
    book.takeChanges()
    expect(book.command(cancel(jobId), ORIGIN, 7_000)).toBeNull()
    expect(book.takeChanges()).toEqual([])
  })

  test('replays and another order of submissions make the same jobs', () => {
    const keys = fc.array(fc.constantFrom('k1', 'k2', 'k3', 'k4'), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(keys, keys, (first, second) => {
        const one = new JobBook([], LIMITS)
        const other = new JobBook([], LIMITS)
        for (const key of [...first, ...second]) expect(one.command(submit(key), ORIGIN, 5_000)).toBeNull()
        for (const key of [...second, ...first]) expect(other.command(submit(key), ORIGIN, 5_000)).toBeNull()
        const byId = (jobs: JobSnapshot[]) => jobs.toSorted((a, b) => (a.job_id < b.job_id ? -1 : 1))
        const jobs = one.takeChanges()
        expect(byId(jobs)).toEqual(byId(other.takeChanges()))
        expect(jobs).toHaveLength(new Set([...first, ...second]).size)
      }),
    )
  })

  test('a book that takes over from the snapshots goes on where the last one stopped', () => {
    book.command(submit('k1'), ORIGIN, 5_000)
    book.admit([], 6_000, CPU)
    const successor = new JobBook(new Map(book.takeChanges().map((job) => [job.job_id, job])).values(), LIMITS)
    expect(successor.active()).toEqual(book.active())
    expect(successor.active()).toHaveLength(1)
    expect(successor.command(submit('k1'), ORIGIN, 7_000)).toBeNull()
    expect(successor.takeChanges()).toEqual([])
  })
})

describe('admission', () => {
  type Step =
    | { type: 'submit'; tenant: string }
    | { type: 'end'; pick: number; as: 'failed' | 'cancelled' }
    | { type: 'admit' }
  const anyStep: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ type: fc.constant('submit' as const), tenant: fc.constantFrom('acme', 'other') }),
    fc.record({
      type: fc.constant('end' as const),
      pick: fc.nat(),
      as: fc.constantFrom('failed' as const, 'cancelled' as const),
    }),
    fc.record({ type: fc.constant('admit' as const) }),
  )

  test('gives each tenant exactly its places, to the oldest that wait', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (steps, limit) => {
        const book = new JobBook([], { ...LIMITS, maxConcurrentJobs: limit })
        const jobs = new Map<string, JobSnapshot>()
        steps.forEach((step, at) => {
          if (step.type === 'submit') book.command(submit(`k${at}`, step.tenant), ORIGIN, at)
          else if (step.type === 'end') {
            const open = [...jobs.values()].filter((job) => !isTerminal(job.status))
            const job = open[step.pick % (open.length || 1)]
            const error = { code: 'x', message: 'x' }
            if (job)
              book.apply(job.job_id, step.as === 'failed' ? { type: 'failed', error, at } : { type: step.as, at })
          } else {
            book.admit([], at, CPU)
          }
          for (const job of book.takeChanges()) jobs.set(job.job_id, job)
          if (step.type === 'admit')
            for (const tenant of ['acme', 'other']) checkPlaces([...jobs.values()], tenant, limit)
        })
      }),
    )
  })

  /** All places are taken or nobody waits, and nobody who waits came before somebody who runs. */
  function checkPlaces(all: readonly JobSnapshot[], tenant: string, limit: number): void {
    const jobs = all.filter((job) => job.tenant_id === tenant)
    const active = jobs.filter(isActive)
    const waiting = jobs.filter((job) => job.status === 'submitted')
    expect(active.length).toBeLessThanOrEqual(limit)
    if (waiting.length) expect(active).toHaveLength(limit)
    for (const { submitted_at } of waiting)
      for (const job of active) expect(job.submitted_at).toBeLessThanOrEqual(submitted_at)
  }

  test('also keeps the order of commands that came in the same millisecond', () => {
    const book = new JobBook([], { ...LIMITS, maxConcurrentJobs: 3 })
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`)
    for (const key of keys) book.command(submit(key), ORIGIN, 5_000)
    book.admit([], 5_000, CPU)
    const active = keys.filter((key) => isActive(jobIn(book, jobIdOfKey('acme', key))))
    expect(active).toEqual(['k0', 'k1', 'k2'])
  })

  test('a book that took over gives the place to the oldest, in whatever order it got the jobs', () => {
    const waiting = [3_000n, 1_000n, 2_000n].map((submitted_at) =>
      submitted({ job_id: `batch-${submitted_at}`, plan: PLAN, submitted_at }),
    )
    const book = new JobBook(waiting, { ...LIMITS, maxConcurrentJobs: 2 })
    book.admit([], 6_000, CPU)
    expect(book.takeChanges().map(({ job_id }) => job_id)).toEqual(['batch-1000', 'batch-2000'])
  })

  test('a job waits for its plan, and holds no place meanwhile', () => {
    const book = new JobBook([submitted()], { ...LIMITS, maxConcurrentJobs: 1 })
    book.command(submit('k1'), ORIGIN, 5_000)
    book.admit([], 6_000, CPU)
    expect(book.get('batch-1')?.status).toBe('submitted')
    expect(book.get(jobIdOfKey('acme', 'k1'))?.status).toBe('preparing')
  })

  /** Has more chunks than lanes. */
  const LARGE = { ...BODY, config: { batch_size: 100 } }

  test('lanes are the least loaded of all jobs, also those of other controllers', () => {
    const elsewhere = running({ job_id: 'batch-far', tenant_id: 'far', lanes: [0, 1, 2, 3] })
    const book = new JobBook([running({ lanes: [4, 5] })], LIMITS)
    book.command(submit('k1', 'acme', LARGE), ORIGIN, 5_000)
    // What is seen everywhere may be older than the book's own jobs.
    book.admit([elsewhere, running({ lanes: [6, 7, 8, 9] })], 6_000, CPU)
    expect(jobIn(book, jobIdOfKey('acme', 'k1'))).toMatchObject({ lanes: [6, 7, 8, 9], started_at: 6_000n })
  })

  test('jobs that start together do not take the same lanes', () => {
    const book = new JobBook([], LIMITS)
    for (const key of ['k1', 'k2']) book.command(submit(key, 'acme', LARGE), ORIGIN, 5_000)
    book.admit([], 6_000, CPU)
    expect(new Set(book.active().flatMap(({ lanes }) => lanes)).size).toBe(8)
  })
})

describe('pools', () => {
  const GPU: LivePools = new Set(['gpu'])
  const BOTH: LivePools = new Set(['cpu', 'gpu'])
  const NO_LEDGER = () => new Map<string, ProgressEntry>()
  const want = (accelerator: 'cpu' | 'gpu' | 'auto', change: Partial<JobSnapshot> = {}) =>
    submitted({ plan: PLAN, config: { ...submitted().config, accelerator, timeout_minutes: 1 }, ...change })
  const admittedWith = (job: JobSnapshot, live: LivePools) => {
    const book = new JobBook([job], LIMITS)
    book.admit([], 6_000, live)
    return jobIn(book, job.job_id)
  }

  test('a job goes where its accelerator is; auto to the gpu pool where somebody is in it', () => {
    expect(admittedWith(want('cpu'), BOTH)).toMatchObject({ status: 'preparing', pool: 'cpu' })
    expect(admittedWith(want('cpu'), GPU)).toMatchObject({ status: 'preparing', pool: 'cpu' })
    expect(admittedWith(want('gpu'), BOTH)).toMatchObject({ status: 'preparing', pool: 'gpu' })
    expect(admittedWith(want('auto'), BOTH)).toMatchObject({ status: 'preparing', pool: 'gpu' })
    expect(admittedWith(want('auto'), CPU)).toMatchObject({ status: 'preparing', pool: 'cpu' })
  })

  test('a gpu job without a gpu worker waits with the reason, holds no place and nobody up, and starts when there is one', () => {
    const book = new JobBook([want('gpu'), want('cpu', { job_id: 'batch-2', submitted_at: 2_000n })], {
      ...LIMITS,
      maxConcurrentJobs: 1,
    })
    book.admit([], 6_000, CPU)
    book.admit([], 6_500, CPU)
    expect(jobIn(book, 'batch-1')).toMatchObject({
      status: 'submitted',
      waiting_for: { code: 'gpu_worker', message: expect.stringContaining('SCORER_POOL=gpu'), since: 6_000n },
    })
    expect(jobIn(book, 'batch-2').status).toBe('preparing')
    book.apply('batch-2', { type: 'cancelled', at: 7_000 })
    book.lookForScorers(NO_LEDGER, BOTH, 7_000)
    book.admit([], 7_000, BOTH)
    expect(jobIn(book, 'batch-1')).toMatchObject({ status: 'preparing', waiting_for: null, started_at: 7_000n })
  })

  test('it does not wait longer than it may run, and then says what it waited for', () => {
    const book = new JobBook([want('gpu')], LIMITS)
    book.admit([], 6_000, CPU)
    book.expire(65_999)
    expect(jobIn(book, 'batch-1').status).toBe('submitted')
    book.expire(66_000)
    expect(jobIn(book, 'batch-1')).toMatchObject({
      status: 'failed',
      waiting_for: null,
      error: { code: 'timeout', message: expect.stringContaining('no scorer of the gpu pool is alive') },
    })
  })

  const onGpu = (accelerator: 'gpu' | 'auto', change: Partial<JobSnapshot> = {}) =>
    running({ pool: 'gpu', config: { ...running().config, accelerator }, ...change })

  test('workers that are lost and come back leave no trace', () => {
    const book = new JobBook([onGpu('auto')], LIMITS)
    book.lookForScorers(NO_LEDGER, CPU, 10_000)
    expect(jobIn(book, 'batch-1').waiting_for).toMatchObject({ code: 'gpu_worker', since: 10_000n })
    book.lookForScorers(NO_LEDGER, CPU, 29_999)
    book.lookForScorers(NO_LEDGER, BOTH, 30_500)
    expect(jobIn(book, 'batch-1')).toMatchObject({ waiting_for: null, pool: 'gpu', attempt: 1 })
  })

  test.each([
    ['auto goes on in the cpu pool, as a new attempt', onGpu('auto'), { pool: 'cpu', attempt: 2, read_rows: 0n }],
    ['gpu waits', onGpu('gpu'), { pool: 'gpu', attempt: 1 }],
    [
      'auto without an attempt left waits',
      onGpu('auto', { config: { ...onGpu('auto').config, retry_count: 0 } }),
      { pool: 'gpu', attempt: 1 },
    ],
    [
      'auto whose rows are in a topic waits',
      onGpu('auto', {
        outputs: [{ ...BARE_OUTPUT, destination: 'kafka', mode: 'append', topic: 'scores' }],
        output_rows: [5n],
      }),
      { pool: 'gpu', attempt: 1 },
    ],
  ])('when they do not come back: %s', (_what, job, expected) => {
    const book = new JobBook([{ ...job, read_rows: 7n }], LIMITS)
    book.lookForScorers(NO_LEDGER, CPU, 10_000)
    book.lookForScorers(NO_LEDGER, CPU, 30_000)
    expect(jobIn(book, 'batch-1')).toMatchObject({ status: 'running', ...expected })
    const moved = expected.pool === 'cpu'
    expect(jobIn(book, 'batch-1').waiting_for).toEqual(moved ? null : expect.objectContaining({ since: 10_000n }))
    expect(jobIn(book, 'batch-1').failed_attempts.map(({ code }) => code)).toEqual(moved ? ['gpu_workers_lost'] : [])
  })

  test('nothing is moved to where nobody is either', () => {
    const book = new JobBook([onGpu('auto')], LIMITS)
    book.lookForScorers(NO_LEDGER, new Set(), 10_000)
    book.lookForScorers(NO_LEDGER, new Set(), 60_000)
    expect(jobIn(book, 'batch-1')).toMatchObject({ pool: 'gpu', attempt: 1 })
  })

  test('a job whose lanes are all scored needs nobody', () => {
    const job = onGpu('auto')
    const ledger = new Map(job.lanes.map((lane) => [`score/${lane}`, entry({ stage: 'score', lane, done: true })]))
    const book = new JobBook([job], LIMITS)
    book.lookForScorers(() => ledger, CPU, 10_000)
    expect(jobIn(book, 'batch-1').waiting_for).toBeNull()
    ledger.delete(`score/${job.lanes[0]}`)
    book.lookForScorers(() => ledger, CPU, 11_000)
    expect(jobIn(book, 'batch-1').waiting_for).not.toBeNull()
  })

  test('a worker counts for ten seconds after its last heartbeat, a scorer only', () => {
    const heard = { role: 'scorer', pool: 'gpu', at: 10_000n } as WorkerHeartbeat
    expect([...livePools([heard], 19_999)]).toEqual(['gpu'])
    expect([...livePools([heard], 20_000)]).toEqual([])
    expect([...livePools([{ ...heard, role: 'sink', pool: '' }], 10_000)]).toEqual([])
  })
})

describe('the ledger', () => {
  const read = entry({ stage: 'read', lane: -1, rows: 30n, done: true })
  const sink = (lane: number, rows: bigint, failed_rows = 0n, done = true) =>
    entry({ stage: 'sink', lane, rows, failed_rows, done })
  const score = (lane: number, rows: bigint, failed_rows = 0n) => entry({ stage: 'score', lane, rows, failed_rows })

  function bookOf(job: JobSnapshot): JobBook {
    return new JobBook([job], LIMITS)
  }

  test('everything arrived: the job completes, with its final counts', () => {
    const book = bookOf(running())
    book.ledger('batch-1', ledgerOf(read, score(0, 20n), score(1, 10n), sink(0, 20n), sink(1, 10n)), false, 9_000)
    expect(book.get('batch-1')).toMatchObject({
      status: 'completing',
      read_rows: 30n,
      processed_rows: 30n,
      written_rows: 30n,
      failed_rows: 0n,
    })
  })

  test('fewer or more rows written than read: rows_lost', () => {
    for (const rows of [9n, 11n]) {
      const book = bookOf(running())
      book.ledger('batch-1', ledgerOf(read, sink(0, 20n), sink(1, rows)), false, 9_000)
      const error = {
        code: 'rows_lost',
        message: `30 rows were read, ${20n + rows} written and 0 failed; please report this`,
      }
      expect(book.get('batch-1')).toMatchObject({ status: 'failed', error, finished_at: 9_000n })
    }
  })

  test('failed rows count as delivered up to max_failed_rows, past it the job fails', () => {
    const config = { ...running().config, max_failed_rows: 2 }
    const entries = (failed: bigint) => ledgerOf(read, sink(0, 20n), sink(1, 10n - failed, failed))
    const enough = bookOf(running({ config }))
    enough.ledger('batch-1', entries(2n), false, 9_000)
    expect(enough.get('batch-1')).toMatchObject({ status: 'completing', written_rows: 28n, failed_rows: 2n })

    const tooMany = bookOf(running({ config }))
    tooMany.ledger('batch-1', entries(3n), false, 9_000)
    expect(tooMany.get('batch-1')).toMatchObject({ status: 'failed', error: { code: 'too_many_failed_rows' } })
    expect(tooMany.get('batch-1')?.error?.message).toMatch(/^3 rows .* max_failed_rows is 2;/)
  })

  test('too many failed rows are seen at the next tick, long before the end', () => {
    const book = bookOf(running())
    book.ledger('batch-1', ledgerOf(score(0, 20n, 1n)), true, 9_000)
    expect(book.get('batch-1')).toMatchObject({ status: 'failed', error: { code: 'too_many_failed_rows' } })
  })

  test('counts are written down only when asked for, and only when they grew', () => {
    const book = bookOf(running())
    const entries = ledgerOf(score(0, 20n))
    book.ledger('batch-1', entries, false, 9_000)
    expect(book.takeChanges()).toEqual([])
    book.ledger('batch-1', entries, true, 9_000)
    expect(book.takeChanges()).toEqual([running({ output_rows: [0n], processed_rows: 20n })])
    book.ledger('batch-1', entries, true, 9_000)
    expect(book.takeChanges()).toEqual([])
  })

  test('a scorer that took over and counts from zero makes no snapshot', () => {
    const config = { ...running().config, max_failed_rows: 10 }
    const book = bookOf(running({ config, processed_rows: 20n, failed_rows: 5n }))
    book.ledger('batch-1', ledgerOf(score(0, 20n, 1n)), true, 9_000)
    expect(book.takeChanges()).toEqual([])
  })

  test('a passing failure of a stage is another attempt; the old attempt’s entries say nothing then', () => {
    const book = bookOf(running())
    const error = { code: 'reader_lost', message: 'the reader stopped', retriable: true }
    const entries = ledgerOf(entry({ stage: 'read', lane: -1, error }), sink(0, 30n), sink(1, 0n))
    book.ledger('batch-1', entries, false, 9_000)
    expect(book.get('batch-1')).toMatchObject({ status: 'running', attempt: 2, written_rows: 0n })
    book.takeChanges()
    book.ledger('batch-1', entries, true, 9_000)
    expect(book.takeChanges()).toEqual([])
  })

  test('any other failure of a stage ends the job with its reason', () => {
    const book = bookOf(running())
    const error = { code: 'schema_changed', message: 'a column is gone', retriable: false }
    book.ledger('batch-1', ledgerOf(entry({ stage: 'sink', lane: 1, error })), false, 9_000)
    expect(book.get('batch-1')).toMatchObject({
      status: 'failed',
      error: { code: 'schema_changed', message: 'a column is gone' },
    })
  })

  test('of a job that is over, waits or is unknown changes nothing', () => {
    const full = ledgerOf(read, sink(0, 30n), sink(1, 0n))
    for (const job of [running({ status: 'completed' }), running({ status: 'cancelled' }), submitted()]) {
      const book = bookOf(job)
      book.ledger('batch-1', full, true, 9_000)
      book.ledger('batch-2', full, true, 9_000)
      expect(book.takeChanges()).toEqual([])
    }
  })
})

describe('deadlines', () => {
  const end = 2_000 + 60 * 60_000

  test('a job fails when its time is over, not a millisecond before', () => {
    const book = new JobBook([running()], LIMITS)
    book.expire(end - 1)
    expect(book.takeChanges()).toEqual([])
    book.expire(end)
    expect(book.get('batch-1')).toMatchObject({
      status: 'failed',
      error: { code: 'timeout' },
      finished_at: BigInt(end),
    })
    expect(book.get('batch-1')?.error?.message).toMatch(/^not finished within 60 minutes: raise/)
  })

  test('waiting costs no time, and a result that is being made visible is left alone', () => {
    const book = new JobBook([submitted(), running({ job_id: 'batch-2', status: 'completing' })], LIMITS)
    book.expire(end * 10)
    expect(book.takeChanges()).toEqual([])
  })
})

test('jobs under way are active, and those that have lanes to give back are due', () => {
  const jobs = [
    submitted({ job_id: 'waits' }),
    running({ job_id: 'runs' }),
    running({ job_id: 'completed', status: 'completed', lanes: [] }),
    running({ job_id: 'to clean', status: 'failed' }),
    running({ job_id: 'clean', status: 'cancelled', lanes: [] }),
  ]
  const book = new JobBook(jobs, LIMITS)
  const ids = (found: readonly JobSnapshot[]) => found.map(({ job_id }) => job_id)
  expect([ids(book.active()), ids(book.due())]).toEqual([['runs'], ['waits', 'to clean']])
  expect(book.apply('nobody', { type: 'cleaned' })).toBe(false)
})

describe('webhooks', () => {
  const webhook = newWebhook({ url: 'https://hooks.example.com/', events: ['cancelled'] })
  const due = (book: JobBook, at: number) => book.undelivered(at).map(({ job_id }) => job_id)
  const tried = { type: 'webhook-tried', error: 'answered 500', nextAttemptAt: 20_000, at: 10_000 } as const

  test('one is due from the end of its job on, and after a failure when its time has come', () => {
    const book = new JobBook([running({ webhook }), running({ job_id: 'batch-2' })], LIMITS)
    expect(due(book, 9_000)).toEqual([])
    for (const jobId of ['batch-1', 'batch-2']) book.apply(jobId, { type: 'cancelled', at: 9_000 })
    expect(due(book, 9_000)).toEqual(['batch-1'])
    book.apply('batch-1', tried)
    expect([due(book, 19_999), due(book, 20_000)]).toEqual([[], ['batch-1']])
    const successor = new JobBook(book.takeChanges(), LIMITS)
    expect([due(successor, 19_999), due(successor, 20_000)]).toEqual([[], ['batch-1']])
    book.apply('batch-1', { ...tried, error: null, nextAttemptAt: null })
    expect(due(book, 1e15)).toEqual([])
  })
})

describe('a job whose time is up', () => {
  const HOUR = 3_600_000
  const finished = running({ status: 'completed', lanes: [], finished_at: 5_000n })

  test('is outlived from the hour on, and forgotten once it is swept', () => {
    const book = new JobBook([finished], { ...LIMITS, resultTtlHours: 2 })
    expect(book.outlived(5_000 + 2 * HOUR - 1)).toEqual([])
    expect(book.outlived(5_000 + 2 * HOUR)).toEqual([finished])
    book.forget('batch-1')
    book.forget('batch-1')
    expect(book.takeForgotten()).toEqual(['batch-1'])
    expect(book.takeForgotten()).toEqual([])
    expect(book.get('batch-1')).toBeUndefined()
  })

  test('is outlived although its webhook is not delivered yet, and then is not delivered any more', () => {
    const webhook = {
      ...newWebhook({ url: 'https://hooks.example.com/', events: ['completed'] }),
      state: 'pending' as const,
    }
    const book = new JobBook([{ ...finished, webhook }], { ...LIMITS, resultTtlHours: 2 })
    expect(book.undelivered(6_000)).toHaveLength(1)
    expect(book.outlived(5_000 + 2 * HOUR)).toHaveLength(1)
    book.forget('batch-1')
    expect(book.undelivered(5_000 + 2 * HOUR)).toEqual([])
  })

  test.each([
    ['it has not finished', running()],
    ['what it staged is still there', { ...finished, status: 'failed' as const, lanes: [0, 1] }],
  ])('is not, as long as %s', (_, job) => {
    expect(new JobBook([job], { ...LIMITS, resultTtlHours: 0 }).outlived(1e15)).toEqual([])
  })
})

// The controller's decisions about schedules on plain data: commands and the clock go in, records and jobs come out.
import { beforeEach, describe, expect, test } from 'vitest'
import { JobBook } from '../../src/controller/job-book.ts'
import { ScheduleBook } from '../../src/controller/schedule-book.ts'
import { jobIdOfFiring, jobIdOfKey, requestHash, scheduleIdOf } from '../../src/job/identity.ts'
import type { ScheduleCommand, SubmitCommand } from '../../topics/commands.ts'
import type { Schedule } from '../../topics/schedules.ts'

const LIMITS = { maxConcurrentJobs: 2, defaultParallelism: 4, resultTtlHours: 168 }
const ORIGIN = { topic: 'inference.commands.v1', partition: 3, offset: 12n }
const JOB = {
  model_id: 'churn',
  input: { source: 'sql', query: 'SELECT * FROM customers' },
  output: { destination: 'table', table_name: 'predictions.churn_scores' },
}
const MINUTE_MS = 60_000
const START = Date.parse('2026-05-05T10:00:30Z')
/** The first time of `* * * * *` after that. */
const FIRST = Date.parse('2026-05-05T10:01:00Z')
const ID = scheduleIdOf(jobIdOfKey('acme', 'k1'))

function submit(key: string, schedule: Record<string, unknown> = {}): SubmitCommand {
  return {
    type: 'submit',
    tenant_id: 'acme',
    idempotency_key: key,
    job: { ...JOB, schedule: { cron: '* * * * *', ...schedule } },
  }
}

let changes = 0

function change(schedule: unknown, tenant_id = 'acme'): ScheduleCommand {
  return { type: 'schedule', tenant_id, schedule_id: ID, schedule, change_id: `change-${changes++}` }
}

let schedules: ScheduleBook
let jobs: JobBook
beforeEach(() => {
  schedules = new ScheduleBook([], LIMITS)
  jobs = new JobBook([], LIMITS)
})

function scheduleIn(book = schedules): Schedule {
  const schedule = book.get(ID)
  if (!schedule) throw new Error(`no schedule ${ID}`)
  return schedule
}

describe('commands', () => {
  test('a submission makes a schedule once, and a key with another body is a conflict', () => {
    expect(schedules.create(submit('k1'), ORIGIN, START)).toBeNull()
    expect(schedules.takeWrites()).toEqual([{ key: ID, schedule: scheduleIn() }])
    expect(schedules.create(submit('k1'), ORIGIN, START + 5_000)).toBeNull()
    expect(schedules.takeWrites()).toEqual([])
    expect(schedules.create(submit('k1', { timezone: 'Asia/Tokyo' }), ORIGIN, START)).toContain(
      `schedule ${ID} exists with another body`,
    )
    expect(schedules.takeWrites()).toEqual([])
  })

  test('a change is written with its id, also one that changes nothing, so that its sender sees it', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    schedules.takeWrites()
    for (const changeId of ['c1', 'c2']) {
      expect(schedules.command({ ...change({ overlap: 'skip' }), change_id: changeId }, START)).toBeNull()
      expect(schedules.takeWrites().map(({ schedule }) => schedule?.change_id)).toEqual([changeId])
    }
  })

  test('a change that comes again changes nothing, however late', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    const pause = change({ enabled: false })
    schedules.command(pause, START)
    schedules.command(change({ enabled: true }), START)
    schedules.takeWrites()
    expect(schedules.command(pause, START + 5_000)).toBeNull()
    expect(schedules.takeWrites()).toEqual([])
    expect(scheduleIn().enabled).toBe(true)
  })

  test('a change that is refused says why, and so does one of a schedule that is not the tenant’s', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    schedules.takeWrites()
    expect(schedules.command(change({ cron: '61 * * * *', timezone: 'x' }), START)).toMatch(/^\/cron: .*; \/timezone: /)
    expect(schedules.command(change({ enabled: false }, 'other'), START)).toBe(`tenant other has no schedule ${ID}`)
    expect(schedules.command(change(null, 'other'), START)).toBe(`tenant other has no schedule ${ID}`)
    expect(schedules.takeWrites()).toEqual([])
  })

  test('a deleted schedule is a tombstone and fires no more', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    schedules.takeWrites()
    expect(schedules.command(change(null), START)).toBeNull()
    expect(schedules.takeWrites()).toEqual([{ key: ID, schedule: null }])
    schedules.fire(jobs, FIRST)
    expect([jobs.takeChanges(), schedules.takeWrites()]).toEqual([[], []])
    expect(schedules.command(change(null), START)).toBe(`tenant acme has no schedule ${ID}`)
  })
})

describe('firing', () => {
  test('makes a job that is planned like a direct command’s, and names schedule and time', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    schedules.takeWrites()
    schedules.fire(jobs, FIRST - 1)
    expect(jobs.takeChanges()).toEqual([])
    schedules.fire(jobs, FIRST + 400)
    const jobId = jobIdOfFiring(ID, BigInt(FIRST))
    expect(jobs.takeChanges()).toEqual([
      expect.objectContaining({
        job_id: jobId,
        tenant_id: 'acme',
        schedule_id: ID,
        status: 'submitted',
        plan: null,
        submitted_at: BigInt(FIRST + 400),
        request_hash: requestHash(JOB),
        config: expect.objectContaining({ parallelism: 4 }),
      }),
    ])
    expect(schedules.takeWrites()).toEqual([{ key: ID, schedule: scheduleIn() }])
    expect(scheduleIn()).toMatchObject({
      last_fired_at: BigInt(FIRST),
      last_job_id: jobId,
      next_fire_at: BigInt(FIRST + MINUTE_MS),
    })
  })

  test('a controller that did not know of the firing makes the same job, and one that finds the job makes none', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    const before = scheduleIn()
    schedules.fire(jobs, FIRST)
    const [job] = jobs.takeChanges()
    if (!job) throw new Error('no job')
    const elsewhere = new JobBook([], LIMITS)
    new ScheduleBook([before], LIMITS).fire(elsewhere, FIRST + 9_000)
    expect(elsewhere.takeChanges().map(({ job_id }) => job_id)).toEqual([job.job_id])
    const successor = new JobBook([{ ...job, status: 'completed' }], LIMITS)
    const book = new ScheduleBook([before], LIMITS)
    book.fire(successor, FIRST + 9_000)
    expect(successor.takeChanges()).toEqual([])
    expect(scheduleIn(book)).toMatchObject({ last_job_id: job.job_id, next_fire_at: BigInt(FIRST + MINUTE_MS) })
  })

  test('a job that is not finished is seen, whoever else’s jobs run', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    schedules.create(submit('k2'), ORIGIN, START)
    schedules.fire(jobs, FIRST)
    const jobId = jobIdOfFiring(ID, BigInt(FIRST))
    const other = jobs.takeChanges().find(({ job_id }) => job_id !== jobId)
    jobs.apply(other?.job_id ?? '', { type: 'cancelled', at: FIRST + 1 })
    schedules.fire(jobs, FIRST + MINUTE_MS)
    expect(scheduleIn()).toMatchObject({
      last_job_id: jobId,
      last_skipped: { fire_at: BigInt(FIRST + MINUTE_MS), reason: 'overlap' },
    })
    jobs.takeChanges()
    jobs.apply(jobId, { type: 'cancelled', at: FIRST + MINUTE_MS })
    schedules.fire(jobs, FIRST + 2 * MINUTE_MS)
    expect(scheduleIn().last_job_id).toBe(jobIdOfFiring(ID, BigInt(FIRST + 2 * MINUTE_MS)))
  })

  test('the last ten firings are told, newest first, with the job or why there is none', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    const at = (n: number) => BigInt(FIRST + n * MINUTE_MS)
    for (let n = 0; n < 12; n++) {
      schedules.fire(jobs, Number(at(n)))
      // Every third job is still at work when the next is due.
      if (n % 3 !== 2) jobs.apply(scheduleIn().last_job_id ?? '', { type: 'cancelled', at: Number(at(n)) + 1 })
    }
    const expected = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2].map((n) =>
      n > 2 && n % 3 === 0
        ? { fire_at: at(n), job_id: null, skipped: 'overlap' }
        : { fire_at: at(n), job_id: jobIdOfFiring(ID, at(n)), skipped: null },
    )
    expect(scheduleIn().recent_firings).toEqual(expected)
  })

  test('a firing that waits is made at the first look after the job’s end, without waiting for the next time', () => {
    schedules.create(submit('k1', { overlap: 'buffer_one' }), ORIGIN, START)
    schedules.fire(jobs, FIRST)
    schedules.fire(jobs, FIRST + MINUTE_MS)
    expect(scheduleIn().waiting_fire_at).toBe(BigInt(FIRST + MINUTE_MS))
    schedules.takeWrites()
    schedules.fire(jobs, FIRST + MINUTE_MS + 1_000)
    expect(schedules.takeWrites()).toEqual([])
    jobs.apply(jobIdOfFiring(ID, BigInt(FIRST)), { type: 'cancelled', at: FIRST + MINUTE_MS + 1_500 })
    schedules.fire(jobs, FIRST + MINUTE_MS + 2_000)
    const waited = BigInt(FIRST + MINUTE_MS)
    expect(scheduleIn()).toMatchObject({
      waiting_fire_at: null,
      last_fired_at: waited,
      last_job_id: jobIdOfFiring(ID, waited),
    })
  })

  test('a stored submission that this version refuses is a failed job with the reasons', () => {
    schedules.create(submit('k1'), ORIGIN, START)
    const job = JSON.stringify({ ...JOB, output: { destination: 'table' } })
    new ScheduleBook([{ ...scheduleIn(), job }], LIMITS).fire(jobs, FIRST)
    expect(jobs.takeChanges()).toEqual([
      expect.objectContaining({
        status: 'failed',
        schedule_id: ID,
        error: expect.objectContaining({ code: 'invalid_request' }),
      }),
    ])
  })
})

test('a schedule that cannot fire stops no other, and is left alone until it changes', () => {
  const broken = 'schedule-broken'
  schedules.create(submit('k1'), ORIGIN, START)
  const book = new ScheduleBook([{ ...scheduleIn(), schedule_id: broken, job: '{' }, scheduleIn()], LIMITS)
  expect(book.fire(jobs, FIRST)).toEqual([{ scheduleId: broken, error: expect.any(SyntaxError) }])
  expect(jobs.takeChanges().map(({ schedule_id }) => schedule_id)).toEqual([ID])
  expect(book.fire(jobs, FIRST + MINUTE_MS)).toEqual([])
  const mended = { ...change({ job: JOB }), schedule_id: broken }
  expect(book.command(mended, FIRST + MINUTE_MS)).toBeNull()
  expect(book.fire(jobs, FIRST + 2 * MINUTE_MS)).toEqual([])
  expect(jobs.takeChanges().map(({ schedule_id }) => schedule_id)).toEqual([broken])
})

// The index of a book's jobs says what a look at every job would say, whatever changes.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OpenJobs } from '../../src/controller/open-jobs.ts'
import { duty, isActive } from '../../src/job/machine.ts'
import { isTerminal, JOB_STATUSES, type JobSnapshot } from '../../topics/jobs.ts'
import { PLAN, submitted } from '../job/snapshots.ts'

const PLACES = 2

const anyJob: fc.Arbitrary<JobSnapshot> = fc
  .record({
    job_id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
    tenant_id: fc.constantFrom('acme', 'other'),
    schedule_id: fc.constantFrom(null, 'hourly', 'nightly'),
    status: fc.constantFrom(...JOB_STATUSES),
    plan: fc.constantFrom(null, PLAN),
    lanes: fc.constantFrom<number[][]>([], [0, 1]),
    waiting_for: fc.constantFrom(null, { code: 'gpu_worker', message: 'none', since: 1n }),
    attempt: fc.constantFrom(1, 2),
    submitted_at: fc.bigInt({ min: 0n, max: 5n }),
  })
  .map((change) => submitted({ ...change, prepared_attempt: 1 }))

/** A new state of a job, or that it is gone. */
const anyChange = fc.record({ job: anyJob, gone: fc.boolean() })

const ids = (jobs: Iterable<JobSnapshot>): string[] => [...jobs].map(({ job_id }) => job_id).sort()

test('it finds the jobs that a look at every job would find', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 60 }), (changes) => {
      const jobs = new Map<string, JobSnapshot>()
      const open = new OpenJobs()
      for (const { job, gone } of changes) {
        // A job never changes its tenant, its schedule or its time.
        const before = jobs.get(job.job_id)
        const kept = before && {
          tenant_id: before.tenant_id,
          schedule_id: before.schedule_id,
          submitted_at: before.submitted_at,
        }
        const after = { ...job, ...kept }
        open.changed(before, gone ? undefined : after)
        if (gone) jobs.delete(job.job_id)
        else jobs.set(job.job_id, after)
        const all = [...jobs.values()]
        for (const schedule of ['hourly', 'nightly'])
          expect(open.isBusy(schedule)).toBe(
            all.some((each) => each.schedule_id === schedule && !isTerminal(each.status)),
          )
        expect(ids(open.active())).toEqual(ids(all.filter(isActive)))
        expect(ids(open.due())).toEqual(ids(all.filter((each) => ![null, 'admit'].includes(duty(each)))))
        expect(ids(open.stalled())).toEqual(ids(all.filter((each) => duty(each) === 'admit' && each.waiting_for)))
        for (const tenant of ['acme', 'other']) expectNext(open, all, tenant)
      }
    }),
  )
})

function expectNext(open: OpenJobs, all: readonly JobSnapshot[], tenant: string): void {
  const mine = all.filter(({ tenant_id }) => tenant_id === tenant)
  const waiting = mine
    .filter((job) => duty(job) === 'admit' && !job.waiting_for)
    .map(({ submitted_at }) => submitted_at)
  const free = Math.max(0, PLACES - mine.filter(isActive).length)
  const next = open.next(PLACES).filter(({ tenant_id }) => tenant_id === tenant)
  const byTime = waiting.toSorted((a, b) => Number(a - b))
  expect(next.map(({ submitted_at }) => submitted_at)).toEqual(byTime.slice(0, free))
}

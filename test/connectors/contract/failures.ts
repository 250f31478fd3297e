// The contract of failures: a process may die before or after each of its contacts with the destination, and the destination may fail
// for a while or for good. What is visible is then the old result or the new one, and every row of it once.
import { expect, test } from 'vitest'
import type { WriteMode } from '../../../topics/jobs.ts'
import { chunk, type Plan, type PlannedJob, plannedJob, rowsOf, totalRows, visibleRows } from './rows.ts'
import { advance, PASSING, PERMANENT, patiently, type Run, rejection, runJob, runOf, writeLane } from './run.ts'
import type { OpenWorld } from './world.ts'

/** Two lanes, so that one is whole when the other is hit. */
const PLAN: Plan = { 0: [3, 2], 4: [1] }

export function failureContract(world: OpenWorld): void {
  const { dyingSink, failing = {}, ruin } = world
  if (dyingSink) crashContract(world, dyingSink)

  for (const [how, begin] of Object.entries(failing)) {
    test(`${how}, for a while: the sink says so in passing, and later everything is there once`, async () => {
      const { sink, output, fail, mend } = await begin('append')
      const job = plannedJob(world, output, { 0: [2, 3, 4, 5, 6], 1: [4] })
      await sink.prepare(job)
      const writer = await sink.openLane(job, 0)
      const { chunks: durable } = await writer.write([chunk(job, 0, 0), chunk(job, 0, 1)])
      await fail()
      expect(await rejection(writer.write([chunk(job, 0, 2), chunk(job, 0, 3)]))).toMatchObject(PASSING)
      await writer.close()
      await mend()
      const again = await sink.openLane(job, 0)
      expect(again.position.chunks).toBeGreaterThanOrEqual(durable)
      await again.close()
      for (const lane of job.lanes) await writeLane(sink, job, lane)
      await fail()
      expect(await rejection(sink.finalise(job, totalRows(job)))).toMatchObject(PASSING)
      await mend()
      await sink.finalise(job, totalRows(job))
      expect(await visibleRows(world, output)).toEqual(rowsOf(job))
      expect(await world.leftovers(job)).toEqual([])
    })
  }

  if (ruin) {
    test('a place that became unfit ends the job with a reason, and what was staged can be removed', async () => {
      const job = plannedJob(world, world.freshOutput('append'), PLAN)
      const sink = world.openSink()
      await sink.prepare(job)
      for (const lane of job.lanes) await writeLane(sink, job, lane)
      await ruin(job.output)
      for (let i = 0; i < 2; i++) expect(await rejection(sink.finalise(job, totalRows(job)))).toMatchObject(PERMANENT)
      await sink.discard(job)
      expect(await world.leftovers(job)).toEqual([])
    })
  }
}

type DyingSink = NonNullable<OpenWorld['dyingSink']>

function crashContract(world: OpenWorld, dyingSink: DyingSink): void {
  const modes = world.modes.filter((mode) => mode === 'overwrite' || mode === 'append')
  const cases: { mode: WriteMode; what: string; plan: Plan }[] = [
    ...modes.map((mode) => ({ mode, what: 'with rows', plan: PLAN })),
    { mode: 'append', what: 'without a row', plan: { 0: [] } },
  ]

  test.each(cases)(
    '$mode $what: after a crash at any step the next process brings it to the same result',
    async ({ mode, plan }) => {
      const undisturbed = await arrange(world, mode, plan)
      await runJob(world.openSink(), undisturbed.run.job)
      const bytes = await world.fingerprint?.(undisturbed.run.job.output)
      const steps = await atEveryStep(world, dyingSink, mode, plan, async ({ run, result }) => {
        await patiently(() => advance(world.openSink(), run))
        expect(await visibleRows(world, run.job.output)).toEqual(result)
        expect(await world.fingerprint?.(run.job.output)).toEqual(bytes)
        expect(await world.leftovers(run.job)).toEqual([])
      })
      // Fewer would mean that the sink did not die where it touches the destination.
      expect(steps).toBeGreaterThan(6)
    },
  )

  test.each(modes)(
    '%s: a job that is discarded after a crash at any step leaves the old result or the new one',
    async (mode) => {
      await atEveryStep(world, dyingSink, mode, PLAN, async ({ run, old, result }) => {
        await patiently(() => world.openSink().discard(run.job))
        await world.openSink().discard(run.job)
        const seen = await visibleRows(world, run.job.output)
        const allowed: (string[] | null)[] = [old, result]
        if (mode === 'overwrite' && world.overwriteGap) allowed.push(null)
        if (world.visibility === 'whole') expect(allowed).toContainEqual(seen)
        expect(new Set(seen).size).toBe(seen?.length ?? 0)
        expect(await world.leftovers(run.job)).toEqual([])
        // Who finalises after that is told of the result that is there, or that there will be none.
        const late = world.openSink().finalise(run.job, totalRows(run.job))
        await late.then(
          () => expect(seen).toEqual(result),
          (error) => expect(error).toMatchObject(PERMANENT),
        )
      })
    },
  )
}

interface Crashed {
  readonly run: Run
  /** The rows that were there before the job, and those that are to be there after it. */
  readonly old: string[]
  readonly result: string[]
}

/** Runs the job ever anew, to die ever later, until a run gets through; says how many died. */
async function atEveryStep(
  world: OpenWorld,
  dyingSink: DyingSink,
  mode: WriteMode,
  plan: Plan,
  afterCrash: (crashed: Crashed) => Promise<void>,
): Promise<number> {
  for (let step = 0; ; step += world.crashEvery ?? 1) {
    const arranged = await arrange(world, mode, plan)
    if (await getsThrough(await dyingSink(step), arranged.run)) {
      expect(await visibleRows(world, arranged.run.job.output)).toEqual(arranged.result)
      return step
    }
    await afterCrash(arranged)
    await world.closeSinks()
  }
}

/** A job that is still to run, into a place with an older result. */
async function arrange(world: OpenWorld, mode: WriteMode, plan: Plan): Promise<Crashed> {
  const output = world.freshOutput(mode)
  const [old, job] = [plannedJob(world, output, { 1: [2], 2: [1] }), plannedJob(world, output, plan)].map(
    (planned, i) =>
      // Where bytes are compared, nothing may differ from run to run.
      world.fingerprint ? { ...planned, jobId: `batch-${i}`, resultId: `batch-${i}` } : planned,
  ) as [PlannedJob, PlannedJob]
  await runJob(world.openSink(), old)
  return { run: runOf(job), old: rowsOf(old), result: mode === 'append' ? rowsOf(old, job) : rowsOf(job) }
}

async function getsThrough(doomed: Awaited<ReturnType<DyingSink>>, run: Run): Promise<boolean> {
  try {
    await advance(doomed.sink, run)
    // It may die of a contact that nobody waits for.
    return !doomed.died()
  } catch (error) {
    if (!doomed.died()) throw error
    return false
  }
}

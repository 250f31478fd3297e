// Sweeping a job with outputs in two stores: one is away for a time, and the clean-up after the job's failure had been
// given up, so there is more to remove than a result.
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { type Connectors, openConnectors } from '../../connectors/index.ts'
import { freePort } from '../../embedded/ports.ts'
import { Duties, type DutyOutcome } from '../../src/controller/duties.ts'
import { sinkJob } from '../../src/job/sink-job.ts'
import { BARE_OUTPUT, type JobSnapshot } from '../../topics/jobs.ts'
import { connectorSettings } from '../connectors/settings.ts'
import { whenFileEnds } from '../harness/file-end.ts'
import { freshDatabase } from '../harness/servers.ts'
import { until } from '../harness/until.ts'
import { PLAN, running } from '../job/snapshots.ts'

const columns = PLAN.scored_columns
const JOB: JobSnapshot = running({
  job_id: 'batch-swept',
  status: 'failed',
  attempt: 2,
  lanes: [],
  finished_at: 5_000n,
  plan: { ...PLAN, output_columns: [columns, columns] },
  outputs: [
    { ...BARE_OUTPUT, destination: 'table', table_name: 'public.mine', mode: 'overwrite' },
    { ...BARE_OUTPUT, destination: 'parquet', path: 'out', mode: 'overwrite', compression: 'zstd', target_file_mb: 1 },
  ],
})

/** Every output's sink, with what it would be told of the job's attempt. */
function sinksOf(connectors: Connectors, attempt: number) {
  return JOB.outputs.flatMap(({ destination }, output) => {
    const sink = connectors.sinkFor(destination)
    return sink ? [{ sink, job: sinkJob({ ...JOB, attempt }, output) }] : []
  })
}

test('one store that is away holds up nothing else, and is swept when it is back; the user’s table stays', async () => {
  const root = await mkdtemp(join(tmpdir(), 'scoreline-sweep-'))
  whenFileEnds(() => rm(root, { recursive: true, force: true }))
  const url = new URL(await freshDatabase('sweep'))
  const open = (warehouse: string) =>
    openConnectors(connectorSettings({ connections: { warehouse }, outputRoots: [`file://${root}/`] }))
  const near = open(url.href)
  for (const attempt of [1, 2]) for (const { sink, job } of sinksOf(near, attempt)) await sink.prepare(job)
  const staged = "SELECT relname FROM pg_class WHERE relname LIKE 'stage_batch-swept%' AND relkind = 'r'"
  const database = new pg.Pool({ connectionString: url.href, max: 1 })
  // `end` does not wait for the server, and the database is dropped right after it.
  database.on('error', () => {})
  whenFileEnds(() => database.end())
  await database.query('CREATE TABLE public.mine AS SELECT 1 AS label')
  expect((await database.query(staged)).rows).toHaveLength(2)
  expect(existsSync(join(root, 'out/_scoreline'))).toBe(true)

  // The way to the database, which is closed at first.
  const port = await freePort()
  const way = createServer((client) => {
    const server = connect(Number(url.port), url.hostname)
    client.pipe(server).pipe(client)
    for (const socket of [client, server]) socket.on('error', () => client.destroy())
  })
  const far = open(Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href)
  const outcomes: DutyOutcome[] = []
  const world = {
    source: far.source,
    sinkFor: far.sinkFor,
    findModel: async () => undefined,
    webhookProblems: async () => [],
    maxInputRows: 1,
  }
  const duties: Duties = new Duties(
    () => world,
    (outcome) => {
      duties.settled(outcome.jobId)
      if (outcome.event) outcomes.push(outcome)
    },
    pino({ level: 'silent' }),
  )
  duties.start(JOB, 'sweep')
  await until(() => !existsSync(join(root, 'out/_scoreline')), { what: 'the files to be swept' })
  expect([outcomes, (await database.query(staged)).rows.length]).toEqual([[], 2])
  await new Promise<void>((resolve) => way.listen(port, '127.0.0.1', resolve))
  whenFileEnds(() => way.close())
  const tick = (): boolean => {
    duties.start(JOB, 'sweep')
    return outcomes.length === 1
  }
  await until(tick, { what: 'the sweep to end' })
  expect((await database.query(staged)).rows).toEqual([])
  expect((await database.query('SELECT * FROM scoreline_sink.ledger')).rows).toEqual([])
  expect((await database.query('SELECT * FROM public.mine')).rows).toEqual([{ label: 1 }])

  duties.start(JOB, 'sweep')
  await until(() => outcomes.length === 2, { what: 'a second sweep to find nothing' })
  expect(outcomes).toEqual([1, 2].map(() => ({ jobId: 'batch-swept', event: { type: 'swept' } })))
  await duties.stop()
  await Promise.all([near.close(), far.close()])
})

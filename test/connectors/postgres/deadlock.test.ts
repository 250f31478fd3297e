// A result that cannot be made visible because somebody else's transaction and ours wait for each other: Postgres ends ours, and
// the next try has everything.
import { expect, test } from 'vitest'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { Column } from '../../../topics/columns.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { until } from '../../harness/until.ts'
import { rejection } from '../contract/run.ts'
import { connectTo, openClient, tableJob, tableOutput } from './jobs.ts'

const COLUMNS: Column[] = [{ name: 'id', kind: 'int64' }]

test('a deadlock passes: the job is told so, and finalising again replaces every row', async () => {
  const url = await freshDatabase('pg-deadlock')
  const [user, observer] = [await openClient(url), await openClient(url)]
  await user.query('CREATE TABLE scores (id bigint); INSERT INTO scores VALUES (-1)')
  const sink = createTableSink(connectTo(url))
  const job = tableJob(tableOutput('scores'), COLUMNS, { chunkRows: 2 })
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  const values = BigInt64Array.of(1n, 2n)
  await lane.write([
    { seq: 0, batch: { columns: COLUMNS, vectors: [{ validity: null, nullCount: 0, values }], rows: 2 }, failed: [] },
  ])
  await lane.end()

  await user.query('BEGIN; SELECT FROM scores FOR UPDATE')
  const refused = rejection(sink.finalise(job, 2n))
  await until(async () => (await observer.query(WAITING)).rows.length > 0, { everyMs: 10 })
  // Waits for the table, which the finaliser has, which waits for the row. It has waited longer, so it is the first to look for a deadlock
  // (after a second), and the one that is ended.
  const theirs = user.query('UPDATE scores SET id = -2')
  expect(await refused).toMatchObject({
    code: 'database_busy',
    retriable: true,
    message: expect.stringMatching(/deadlock/),
  })
  await theirs
  await user.query('COMMIT')
  expect(await sink.finalise(job, 2n)).toMatchObject({ rows: 2n })
  expect((await observer.query('SELECT id::int FROM scores ORDER BY id')).rows).toEqual([{ id: 1 }, { id: 2 }])
  await sink.close()
})

/** Who waits for a lock in this database. */
const WAITING = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

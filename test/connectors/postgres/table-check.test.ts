// What the table sink refuses before a job is accepted, and what it says.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Problem, Sink } from '../../../connectors/connector.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { Column } from '../../../topics/columns.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { connectorSettings } from '../settings.ts'
import { asRole, connectTo, jobInput, openClient, tableOutput } from './jobs.ts'

const COLUMNS: Column[] = [
  { name: 'id', kind: 'int64', sqlType: 'bigint' },
  { name: 'label', kind: 'utf8', sqlType: 'text' },
  { name: 'score', kind: 'float32' },
]

const role = `writer_${process.pid}`
let url: string
let sink: Sink
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  url = await freshDatabase('pg-table-check')
  client = await openClient(url)
  await client.query(`
CREATE TABLE fits (score float8, label varchar(10), id numeric, at timestamptz DEFAULT now(), note text);
CREATE TABLE parts (id bigint, label text, score real) PARTITION BY RANGE (id);
CREATE VIEW shown AS SELECT 1 AS id;
CREATE TABLE parent (id bigint PRIMARY KEY, label text, score real);
CREATE TABLE child (parent_id bigint REFERENCES parent ON DELETE CASCADE);
CREATE TABLE selfish (id bigint PRIMARY KEY, label text, score real, up bigint REFERENCES selfish);
CREATE TABLE misfit (id bigint GENERATED ALWAYS AS IDENTITY, score int[], tenant text NOT NULL, ok int NOT NULL DEFAULT 1);
CREATE TABLE secured (id bigint, label text, score real);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY; ALTER TABLE secured FORCE ROW LEVEL SECURITY;
CREATE SCHEMA locked;
CREATE ROLE ${role} LOGIN; GRANT SELECT ON fits TO ${role}`)
  sink = createTableSink({
    ...connectTo(url),
    connections: { warehouse: url, same: url, limited: asRole(url, role), away: 'postgres://x@127.0.0.1:1/x' },
  })
})

afterAll(async () => {
  await sink.close()
  await client.query(`REVOKE ALL ON fits FROM ${role}; DROP ROLE ${role}`)
})

function check(
  table: string | null,
  mode: WriteMode = 'overwrite',
  more: { connection?: string; query?: string; columns?: Column[] } = {},
): Promise<Problem[]> {
  const { connection = null, query = 'SELECT 1 AS id', columns = COLUMNS } = more
  return sink.check(tableOutput(table, mode, { connection }), columns, jobInput(query))
}

test.each(['fits', 'Fits', 'public.fits', '"fits"', 'new_table', 'new_schema.new_table', 'parts', 'selfish'])(
  '%s will do',
  async (table) => {
    expect(await check(table, 'overwrite')).toEqual([])
    expect(await check(table, 'append')).toEqual([])
  },
)

test('unknown connections, bad names and missing keys are told together', async () => {
  const problems = await sink.check(
    tableOutput('a.b.c', 'upsert', { connection: 'lake' }),
    COLUMNS,
    jobInput('SELECT 1'),
  )
  expect(problems.map(({ code, pointer }) => `${code} ${pointer}`)).toEqual([
    'unknown_connection /output/connection',
    'table_name_invalid /output/table_name',
    'key_required /output/key_columns',
  ])
})

test('all differences of the columns in one problem', async () => {
  const problems = await check('misfit')
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatchObject({ code: 'column_mismatch', pointer: '/output/table_name' })
  for (const part of [
    'id is generated',
    'label (text) is missing',
    'score is integer[] in the table and real',
    'tenant (text) is NOT NULL',
  ]) {
    expect(problems[0]?.detail).toContain(part)
  }
  expect(problems[0]?.detail).not.toContain('ok (')
})

test('text does not fit numbers, numbers fit text', async () => {
  const swapped: Column[] = [
    { name: 'id', kind: 'utf8' },
    { name: 'label', kind: 'int64' },
    { name: 'score', kind: 'decimal', precision: 5, scale: 2 },
  ]
  const [problem, ...others] = await check('fits', 'append', { columns: swapped })
  expect(others).toEqual([])
  expect(problem?.detail).toContain('fits: id is numeric in the table and text in the output. ')
})

test('views are no tables, referenced tables and hidden rows cannot be overwritten', async () => {
  expect(await check('shown', 'append')).toMatchObject([{ code: 'not_a_table' }])
  expect(await check('parent')).toMatchObject([
    { code: 'table_referenced', detail: expect.stringMatching(/child.*append/) },
  ])
  expect(await check('parent', 'append')).toEqual([])
  expect(await check('secured')).toMatchObject([{ code: 'table_row_security' }])
  expect(await check('secured', 'append')).toEqual([])
})

test('missing privileges are named with what would grant them', async () => {
  const limited = { connection: 'limited' }
  const codes = (problems: Problem[]) => problems.map((problem) => problem.code)
  const existing = await check('fits', 'overwrite', limited)
  expect(codes(existing)).toEqual(['permission_denied', 'permission_denied', 'permission_denied'])
  expect(existing.map((problem) => problem.detail).join('\n')).toMatch(
    /GRANT CREATE ON DATABASE[\s\S]*GRANT DELETE ON "public"."fits"[\s\S]*GRANT INSERT ON "public"."fits"/,
  )
  expect((await check('locked.t', 'append', limited)).at(-1)?.detail).toMatch(/GRANT USAGE, CREATE ON SCHEMA "locked"/)
  expect((await check('nowhere.t', 'append', limited)).at(-1)?.detail).toMatch(/CREATE SCHEMA "nowhere" AUTHORIZATION/)
})

test('columns that no table can have', async () => {
  const columns: Column[] = [
    { name: 'a', kind: 'utf8' },
    { name: 'a', kind: 'utf8' },
    { name: 'ctid', kind: 'utf8' },
    { name: 'x'.repeat(64), kind: 'utf8' },
  ]
  const problems = await check('t', 'append', { columns })
  expect(problems.map((problem) => problem.code)).toEqual([
    'duplicate_column',
    'column_name_invalid',
    'column_name_invalid',
  ])
})

test('a database that only reads, or is away', async () => {
  await client.query(`ALTER ROLE ${role} SET default_transaction_read_only = on`)
  const fresh = createTableSink(connectorSettings({ connections: { warehouse: asRole(url, role) } }))
  expect(await fresh.check(tableOutput('fits'), COLUMNS, jobInput('SELECT 1'))).toMatchObject([
    { code: 'connection_read_only', pointer: '/output/connection' },
  ])
  await fresh.close()
  await expect(check('fits', 'append', { connection: 'away' })).rejects.toMatchObject({
    code: 'database_unavailable',
    retriable: true,
  })
})

test('checking changes nothing', async () => {
  expect(
    (await client.query(`SELECT to_regnamespace('scoreline_sink') AS own, to_regclass('new_table') AS target`)).rows,
  ).toEqual([{ own: null, target: null }])
})

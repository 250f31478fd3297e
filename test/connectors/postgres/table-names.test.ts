// Names in every form, through the whole sink in every mode: what people write in double quotes is only a name.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sink, Source } from '../../../connectors/connector.ts'
import { quoteName } from '../../../connectors/postgres/identifiers.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { columnsOf, connectTo, jobInput, openClient, tableOutput, writeQuery } from './jobs.ts'

let connectors: { sink: Sink; source: Source }
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  const url = await freshDatabase('pg-table-names')
  client = await openClient(url)
  connectors = { sink: createTableSink(connectTo(url)), source: createPostgresSource(connectTo(url)) }
})

afterAll(async () => {
  await Promise.all([connectors.sink.close(), connectors.source.close()])
})

const NAMES = [
  'MixedCase',
  'select',
  'with space',
  'semi;colon',
  `'; DROP TABLE "victim"; --`,
  '"""',
  'a"b.c"d',
  'percent%s $1 $$ {} \\ /*',
  'new\nline',
  'naïve_名前_🐎',
  'é'.repeat(31),
  'x'.repeat(63),
  '__proto__',
  'excluded',
]

test.each(NAMES)('%j', async (name) => {
  const quoted = quoteName(name)
  const query = (score: number) => `SELECT 1::int AS ${quoted}, ${score}::int AS "Score ""of"" it", 2::int AS "user"`
  const table = `${quoted}.${quoted}`
  const keys = { key_columns: [name, 'user'] }
  for (const [mode, expected] of [
    ['upsert', [1]],
    ['upsert', [2]],
    ['overwrite', [3]],
  ] as const) {
    const output = tableOutput(table, mode, keys)
    expect(
      await connectors.sink.check(output, await columnsOf(connectors.source, query(0)), jobInput(query(0))),
    ).toEqual([])
    await writeQuery(connectors, query(expected[0]), output)
    const { rows } = await client.query({ text: `SELECT "Score ""of"" it" FROM ${table}`, rowMode: 'array' })
    expect(rows).toEqual([expected])
  }
  await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${await constraintOf(table)}`)
  await writeQuery(connectors, query(4), tableOutput(table, 'append'))
  const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${quoted} = 1`)
  expect(rows).toEqual([{ n: 2 }])
})

test.each(NAMES)('%j in what is refused', async (name) => {
  const quoted = quoteName(name)
  await client.query(`CREATE SCHEMA IF NOT EXISTS odd; CREATE TABLE odd.${quoted} (${quoted} int, "user" int NOT NULL)`)
  const query = `SELECT 1::int AS ${quoted} FROM odd.${quoted}`
  const output = tableOutput(`odd.${quoted}`, 'upsert', { key_columns: [name] })
  const problems = await connectors.sink.check(output, await columnsOf(connectors.source, query), jobInput(query))
  expect(problems.map((problem) => problem.code)).toEqual(['key_not_unique', 'column_mismatch', 'output_is_source'])
  // The advice is SQL that does what it says.
  await client.query(problems[0]?.detail.match(/CREATE UNIQUE INDEX .*/s)?.[0] as string)
  const again = await connectors.sink.check(output, await columnsOf(connectors.source, query), jobInput(query))
  expect(again.map((problem) => problem.code)).toEqual(['column_mismatch', 'output_is_source'])
})

async function constraintOf(table: string): Promise<string> {
  const text = `SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p'`
  return quoteName((await client.query<{ conname: string }>(text, [table])).rows[0]?.conname ?? '')
}

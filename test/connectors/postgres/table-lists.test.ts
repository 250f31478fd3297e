// Lists in tables: arrays as SELECT gives them, and which columns of a table that is there take them.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sink } from '../../../connectors/connector.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { Column } from '../../../topics/columns.ts'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { batchOf, type Value } from '../../topics/vectors.ts'
import { connectTo, jobInput, openClient, tableJob, tableOutput } from './jobs.ts'

let sink: Sink
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  const url = await freshDatabase('pg-table-lists')
  client = await openClient(url)
  sink = createTableSink(connectTo(url))
})

afterAll(() => sink.close())

/** The elements of all rows, one after the other. */
type ListColumn = Column & { readonly values: readonly Value[] }

/** A whole job of one chunk; `id` counts the rows from 0. */
async function writeLists(table: string, lists: readonly ListColumn[], mode: 'overwrite' | 'append' | 'upsert') {
  const rows = (lists[0]?.values.length ?? 0) / (lists[0]?.length ?? 1)
  const ids = { name: 'id', kind: 'int32' as const, values: Array.from({ length: rows }, (_, row) => row) }
  const batch = decodeColumns(encodeColumns(batchOf([ids, ...lists])))
  const output = tableOutput(table, mode, { key_columns: mode === 'upsert' ? ['id'] : null })
  expect(await sink.check(output, batch.columns, jobInput('SELECT 1 AS id'))).toEqual([])
  const job = tableJob(output, batch.columns)
  await sink.prepare(job)
  const lane = await sink.openLane(job, 0)
  await lane.write([{ seq: 0, batch, failed: [] }])
  await lane.end()
  await sink.finalise(job, BigInt(rows))
}

const MAX64 = 2n ** 63n - 1n
const { NaN: NAN, POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: NEG_INF } = Number

test.each<[Column['kind'], string, number, Value[], string[]]>([
  [
    'float32',
    'real[]',
    2,
    [0.1, -0, NAN, INF, NEG_INF, 3.4028234663852886e38],
    ['{0.1,-0}', '{NaN,Infinity}', '{-Infinity,3.4028235e+38}'],
  ],
  ['float64', 'double precision[]', 3, [0.1, 1e300, NAN, 1, -0, 5e-324], ['{0.1,1e+300,NaN}', '{1,-0,5e-324}']],
  ['int16', 'smallint[]', 2, [-32768, 32767, 0, -1], ['{-32768,32767}', '{0,-1}']],
  ['int32', 'integer[]', 2, [-(2 ** 31), 2 ** 31 - 1, 0, -1], ['{-2147483648,2147483647}', '{0,-1}']],
  ['int64', 'bigint[]', 2, [-MAX64 - 1n, MAX64, 0n, -1n], ['{-9223372036854775808,9223372036854775807}', '{0,-1}']],
])('a list of %s becomes %s', async (kind, type, length, values, texts) => {
  const table = `new_${kind}`
  await writeLists(table, [{ name: 'list', kind, length, values }], 'overwrite')
  const { rows } = await client.query(
    `SELECT pg_typeof(list)::text AS type, array_dims(list) AS dims, list::text FROM ${table} ORDER BY id`,
  )
  expect(rows).toEqual(texts.map((list) => ({ type, dims: `[1:${length}]`, list })))
})

test('wide lists, several in a row, beside plain columns', async () => {
  const values = Array.from({ length: 20 * 768 }, (_, i) => i / 4)
  await writeLists(
    'wide',
    [
      { name: 'wide', kind: 'float32', length: 768, values },
      { name: 'score', kind: 'float64', values: Array.from({ length: 20 }, (_, row) => (row % 2 ? null : row)) },
      { name: 'pair', kind: 'int16', length: 2, values: Array.from({ length: 40 }, (_, i) => i) },
    ],
    'overwrite',
  )
  const { rows } = await client.query<{ wide: number[] }>('SELECT * FROM wide ORDER BY id')
  expect(rows.flatMap(({ wide }) => wide)).toEqual(values)
  expect(rows.slice(0, 2).map(({ wide: _, ...row }) => row)).toEqual([
    { id: 0, score: 0, pair: [0, 1] },
    { id: 1, score: null, pair: [2, 3] },
  ])
})

const SCORES: ListColumn = { name: 'list', kind: 'float32', length: 2, values: [0.5, 1, -2, 4] }

test.each(['real[]', 'real[3]', 'double precision[]', 'numeric(9,3)[]', 'text[]', 'text', 'two_scores'])(
  'a list of float32 fits into %s',
  async (type) => {
    await client.query(
      `DROP TABLE IF EXISTS there; DROP DOMAIN IF EXISTS two_scores;
CREATE DOMAIN two_scores AS real[] CHECK (cardinality(VALUE) = 2); CREATE TABLE there (id int PRIMARY KEY, list ${type})`,
    )
    for (const mode of ['append', 'overwrite', 'upsert'] as const) await writeLists('there', [SCORES], mode)
    const { rows } = await client.query(`SELECT list::text::real[] AS list FROM there ORDER BY id`)
    expect(rows).toEqual([{ list: [0.5, 1] }, { list: [-2, 4] }])
  },
)

test.each([
  ['integer[]', 'integer[] in the table and real[] in the output, so it would be rounded'],
  ['real', 'real in the table and real[] in the output'],
  ['boolean[]', 'boolean[] in the table and real[] in the output'],
  ['json', 'json in the table and real[] in the output'],
])('a list of float32 does not fit into %s, and that is told before', async (type, reason) => {
  await client.query(`DROP TABLE IF EXISTS unfit; CREATE TABLE unfit (list ${type})`)
  const { values: _, ...column } = SCORES
  expect(await sink.check(tableOutput('unfit', 'append'), [column], jobInput('SELECT 1 AS id'))).toMatchObject([
    { code: 'column_mismatch', pointer: '/output/table_name', detail: expect.stringContaining(`list is ${reason}. `) },
  ])
})

test('nor does a plain column fit into an array', async () => {
  await client.query('CREATE TABLE arrays (score real[])')
  const columns: Column[] = [{ name: 'score', kind: 'float32' }]
  const [problem] = await sink.check(tableOutput('arrays', 'append'), columns, jobInput('SELECT 1 AS id'))
  expect(problem?.detail).toContain('score is real[] in the table and real in the output. ')
})

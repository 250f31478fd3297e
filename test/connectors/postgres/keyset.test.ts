// Reading in the order of a key on a real server: wherever a read is cut, another one goes on with exactly the rest.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Keyset, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import type { Column, Vector } from '../../../topics/columns.ts'
import { valueText } from '../../../topics/value-text.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { columnsOf, connectTo, jobInput, openClient } from './jobs.ts'

let source: Source
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  const url = await freshDatabase('pg-keyset')
  client = await openClient(url)
  await client.query(`
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE COLLATION german (provider = icu, locale = 'de');
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
  source = createPostgresSource(connectTo(url))
})

afterAll(() => source.close())

/** The keys of a read, as text. */
async function keysOf(query: string, keyset: Keyset, chunkRows = 2): Promise<string[]> {
  const columns = await columnsOf(source, query)
  const signal = new AbortController().signal
  const keys: string[] = []
  for await (const { vectors, rows } of source.read(jobInput(query), { columns, chunkRows, signal, keyset })) {
    const i = columns.findIndex(({ name }) => name === keyset.column)
    for (let row = 0; row < rows; row++) keys.push(valueText(columns[i] as Column, vectors[i] as Vector, row))
  }
  return keys
}

/** A query that gives these literals of a type, in no order. */
function valuesOf(type: string, literals: readonly string[], suffix = ''): string {
  const rows = literals.map((literal) => `('${literal.replaceAll("'", "''")}'::${type})`)
  return `SELECT "a ""key""" ${suffix} AS "a ""key""" FROM (VALUES ${rows.join(', ')}) AS v ("a ""key""") -- all`
}

test.each([
  ['smallint', ['3', '-2', '0', '32767', '-32768']],
  ['bigint', ['9223372036854775807', '-9223372036854775808', '0', '7', '70']],
  ['positive', ['3', '1', '20']],
  ['real', ['0.1', '-1e30', '16777216', 'Infinity', 'NaN', '-Infinity']],
  ['double precision', ['0.1', '0.30000000000000004', '1e300', '-5', 'NaN']],
  ['numeric(10,2)', ['1.5', '-0.05', '12345678.90', 'NaN']],
  ['numeric', ['1.5', '1e40', '-0.0000001', 'Infinity', '7']],
  ['boolean', ['true', 'false']],
  ['text', ['b', 'a', 'B', 'ä', "it's", 'back\\slash', '', 'A', '%']],
  ['varchar(20)', ['10', '9', '1 ', '1']],
  ['char(5)', ['b', 'a', 'ab']],
  ['mood', ['happy', 'sad', 'ok']],
  ['uuid', ['ffffffff-0000-0000-0000-000000000000', '00112233-4455-6677-8899-aabbccddeeff']],
  ['bytea', ['\\xff', '\\x00', '\\x', '\\x5c27']],
  ['date', ['2024-02-29', '1969-12-31', 'infinity', '-infinity', '0044-03-15 BC']],
  ['timestamp', ['2024-02-29 12:35:06.789', '1969-12-31', 'infinity']],
  ['timestamptz', ['2024-02-29 12:35:06.789+05', '1969-12-31 00:00:00-03', '-infinity']],
  ['jsonb', ['{"a": 1}', '[1, 2]', '"x"', 'null']],
])('a read of %s goes on after any key', async (type, literals) => {
  const query = valuesOf(type, literals)
  const column = 'a "key"'
  const all = await keysOf(query, { column, after: null })
  const { rows } = await client.query(`SELECT row_number() OVER (ORDER BY 1) FROM (${query}\n) AS q`)
  expect(all).toHaveLength(rows.length)
  for (const [i, after] of all.entries()) expect(await keysOf(query, { column, after })).toEqual(all.slice(i + 1))
})

test('order and comparison follow the column’s collation', async () => {
  const query = valuesOf('text', ['z', 'ä', 'a', 'Z', 'b'], 'COLLATE german')
  const column = 'a "key"'
  expect(await keysOf(query, { column, after: null })).toEqual(['a', 'ä', 'b', 'z', 'Z'])
  expect(await keysOf(query, { column, after: 'ä' })).toEqual(['b', 'z', 'Z'])
})

describe('a key that is none', () => {
  const NOT_UNIQUE = { name: 'ConnectorError', code: 'key_not_unique', retriable: false }

  test.each([
    ['in one batch', 'integer', ['1', '2', '2', '3'], '2'],
    ['across two batches', 'integer', ['1', '2', '2', '3', '4', '4'], '2'],
    ['in two batches, the first whole', 'bigint', ['1', '2', '3', '3'], '3'],
    ['as text', 'text', ['same', 'same'], 'same'],
    ['as uuid', 'uuid', Array<string>(2).fill('00112233-4455-6677-8899-aabbccddeeff'), '00112233'],
    ['as boolean', 'boolean', ['true', 'false', 'true'], 'true'],
    ['as smallint', 'smallint', ['5', '5'], '5'],
  ])('comes twice, %s', async (_, type, literals, value) => {
    for (const chunkRows of [2, 3]) {
      const reading = keysOf(valuesOf(type, literals), { column: 'a "key"', after: null }, chunkRows)
      await expect(reading).rejects.toMatchObject({ ...NOT_UNIQUE, message: expect.stringContaining(`= ${value}`) })
    }
  })

  test.each([
    ['numeric', ['1.0', '2', '1.00'], '1.0', ''],
    ['text', ['one', 'ONE', 'two'], 'one', 'COLLATE loose'],
  ])('comes twice at the cut, equal though not the same: %s', async (type, literals, after, suffix) => {
    const reading = keysOf(valuesOf(type, literals, suffix), { column: 'a "key"', after })
    await expect(reading).rejects.toMatchObject(NOT_UNIQUE)
  })

  test('is NULL in a row, also in one that a comparison would leave out', async () => {
    const query = 'SELECT nullif(i, 7) AS id FROM generate_series(1, 20) AS i'
    for (const after of [null, '3'])
      await expect(keysOf(query, { column: 'id', after })).rejects.toMatchObject({ code: 'key_null', retriable: false })
  })

  test('has no order: refused before the job begins', async () => {
    expect(await source.describe(jobInput(`SELECT '{}'::json AS doc`, { key_column: 'doc' }))).toMatchObject({
      problems: [
        {
          code: 'key_not_sortable',
          pointer: '/input/key_column',
          detail: expect.stringContaining('ordering operator'),
        },
      ],
    })
  })
})

// Reading in the order of a key: the query's text, and the check that the key is one. A read that goes on after a key would
// lose rows whose key is NULL (they sort last, and nothing is greater than NULL) or comes twice (one before, one after the cut).
import pg from 'pg'
import type { Column, ColumnBatch, Vector } from '../../topics/columns.ts'
import { getBit } from '../../topics/take-rows.ts'
import { valueText } from '../../topics/value-text.ts'
import { ConnectorError, type Keyset, type Problem } from '../connector.ts'
import { connectorError, serverMessage } from './errors.ts'
import type { PlainSelect } from './guard.ts'
import { quoteName, quoteText } from './identifiers.ts'

/**
 * The query's rows in the order of the key. The literal is of no type, so it takes on the column's; comparison and order then
 * follow the same operators and the same collation. The newline ends a comment that would swallow the parenthesis.
 */
export function keysetQuery(select: PlainSelect, { column, after }: Keyset): string {
  const key = `query.${quoteName(column)}`
  const beyond = after === null ? '' : ` WHERE ${key} > ${quoteText(after)}`
  return `SELECT * FROM (${select.text}\n) AS query${beyond} ORDER BY ${key}`
}

/** What is wrong with a column as a key, found by planning the read: json, for one, has no order. */
export async function keyProblem(client: pg.ClientBase, select: PlainSelect, column: string): Promise<Problem | null> {
  try {
    const text = `EXPLAIN ${keysetQuery(select, { column, after: null })}`
    await client.query({ text, queryMode: 'extended' } as pg.QueryConfig)
    return null
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || !/^42/.test(error.code ?? ''))
      throw connectorError(error, 'query_failed')
    return {
      code: 'key_not_sortable',
      pointer: '/input/key_column',
      detail: `expected a column that the rows can be ordered by, got ${column}: ${serverMessage(error)}`,
    }
  }
}

/**
 * Before a read that goes on after a key, in its snapshot: what `KeyWatch` cannot see of the rows before. Asked of the
 * database, it also knows keys that are equal without having the same bytes, such as 1.0 and 1.00.
 */
export async function requireKeyAt(client: pg.ClientBase, select: PlainSelect, keyset: Keyset): Promise<void> {
  const { column, after } = keyset
  if (after === null) return
  const key = `query.${quoteName(column)}`
  const rows = `FROM (${select.text}\n) AS query WHERE ${key}`
  const text = `SELECT EXISTS (SELECT ${rows} IS NULL) AS missing, (SELECT count(*) FROM (SELECT ${rows} = ${quoteText(after)} LIMIT 2) AS same) > 1 AS repeated`
  const found = await client.query<{ missing: boolean; repeated: boolean }>({
    text,
    queryMode: 'extended',
  } as pg.QueryConfig)
  if (found.rows[0]?.missing) throw keyNull(column)
  if (found.rows[0]?.repeated) throw keyNotUnique(column, after)
}

/** Looks at the keys of all batches of a read, in order. */
export class KeyWatch {
  readonly #column: Column
  readonly #index: number
  /** The key of the last row so far. */
  #last: string | null = null

  constructor(columns: readonly Column[], name: string) {
    this.#index = columns.findIndex((column) => column.name === name)
    const column = columns[this.#index]
    if (!column) throw new TypeError(`expected the key column ${name} among the query's columns`)
    this.#column = column
  }

  /** Throws `ConnectorError('key_null')` or `('key_not_unique')`. Rows come in the key's order, so equal keys are neighbours. */
  check(batch: ColumnBatch): void {
    if (batch.rows === 0) return
    const vector = batch.vectors[this.#index] as Vector
    if (vector.nullCount > 0) throw keyNull(this.#column.name)
    const first = valueText(this.#column, vector, 0)
    if (first === this.#last) throw keyNotUnique(this.#column.name, first)
    const row = repeatedRow(this.#column, vector, batch.rows)
    if (row !== null) throw keyNotUnique(this.#column.name, valueText(this.#column, vector, row))
    this.#last = valueText(this.#column, vector, batch.rows - 1)
  }
}

/** The first row whose bytes are those of the row before it. */
function repeatedRow(column: Column, vector: Vector, rows: number): number | null {
  const same = neighbours(column, vector)
  for (let row = 1; row < rows; row++) if (same(row)) return row
  return null
}

/** Whether a row has the same bytes as the one before it. Four bytes at a time: as bigints they would be objects. */
function neighbours(column: Column, vector: Vector): (row: number) => boolean {
  if ('offsets' in vector) {
    const { offsets } = vector
    const data = Buffer.from(vector.data.buffer, vector.data.byteOffset, vector.data.byteLength)
    return (row) => {
      const [before, start, end] = [offsets[row - 1] as number, offsets[row] as number, offsets[row + 1] as number]
      return end - start === start - before && data.compare(data, before, start, start, end) === 0
    }
  }
  const { values } = vector
  if (column.kind === 'bool')
    return (row) => getBit(values as Uint8Array, row - 1) === getBit(values as Uint8Array, row)
  if (column.kind === 'int16') return (row) => values[row - 1] === values[row]
  const width = values instanceof Uint8Array ? 4 : values.BYTES_PER_ELEMENT / 4
  const words = new Int32Array(values.buffer, values.byteOffset, values.byteLength / 4)
  return (row) => {
    for (let at = row * width; at < (row + 1) * width; at++) if (words[at - width] !== words[at]) return false
    return true
  }
}

function keyNull(column: string): ConnectorError {
  return new ConnectorError(
    'key_null',
    `expected a key in every row, got NULL in ${column}. Leave such rows out of the query, or submit the job without input.key_column.`,
    { retriable: false },
  )
}

function keyNotUnique(column: string, value: string): ConnectorError {
  return new ConnectorError(
    'key_not_unique',
    `expected every key once, got ${column} = ${value} in several rows. Name a unique column, or submit the job without input.key_column.`,
    { retriable: false },
  )
}

// The keys of an upsert: what has to be true of them before a job is accepted, and of the staged rows before they are merged.
import type pg from 'pg'
import type { Column } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'
import { ConnectorError, type Problem, type SinkJob } from '../connector.ts'
import { displayTable, quoteName, quoteTable, type TableName } from './identifiers.ts'
import { stagingTable } from './ledger.ts'

const POINTER = '/output/key_columns'

/** Problems of the keys themselves, whatever the target; none in other modes. */
export function checkKeys(output: JobOutput, columns: readonly Column[]): Problem[] {
  if (output.mode !== 'upsert') return []
  const keys = output.key_columns ?? []
  const problem = (code: string, detail: string): Problem => ({ code, pointer: POINTER, detail })
  if (keys.length === 0) {
    return [
      problem(
        'key_required',
        'mode upsert needs the columns that say which row is replaced: name them in output.key_columns, or name input.key_column',
      ),
    ]
  }
  const problems: Problem[] = []
  const repeated = keys.filter((key, i) => keys.indexOf(key) !== i)
  if (repeated.length > 0) problems.push(problem('column_conflict', `key_columns names ${repeated.join(', ')} twice`))
  const names = columns.map((column) => column.name).join(', ')
  for (const key of new Set(keys)) {
    const column = columns.find(({ name }) => name === key)
    if (!column) problems.push(problem('column_unknown', `the output has no column ${key}; there are ${names}`))
    else if (column.kind === 'json') {
      const detail = `${key} is json, which has no equality, so it can be no key: cast it in the query, e.g. to jsonb or text`
      problems.push(problem('key_not_comparable', detail))
    }
  }
  return problems
}

/** Which indexes ON CONFLICT (…) takes. Source: PostgreSQL, infer_arbiter_indexes(). */
const UNIQUE_SQL = `
SELECT EXISTS (
  SELECT FROM pg_index i
  WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND NOT i.indisexclusion
    AND i.indpred IS NULL AND i.indexprs IS NULL
    AND ARRAY(
      SELECT a.attname::text COLLATE "C" FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts ORDER BY 1
    ) = ARRAY(SELECT key COLLATE "C" FROM unnest($2::text[]) AS key ORDER BY 1)
) AS found`

/** The problem of a target that has no unique index on exactly these columns, in any order. */
export async function checkUniqueIndex(
  client: pg.ClientBase,
  oid: number,
  target: TableName,
  keys: readonly string[],
): Promise<Problem | null> {
  const { rows } = await client.query<{ found: boolean }>(UNIQUE_SQL, [oid, keys])
  return rows[0]?.found ? null : { code: 'key_not_unique', pointer: POINTER, detail: notUnique(target, keys) }
}

export function notUnique(target: TableName, keys: readonly string[]): string {
  return `mode upsert needs a unique index of ${displayTable(target)} on exactly the key columns (${keys.join(', ')}), and none that is partial, deferrable or on expressions will do. The table's owner can make one: CREATE UNIQUE INDEX ON ${quoteTable(target)} (${keyList(keys)})`
}

/** The key names, quoted. */
export function keyList(keys: readonly string[]): string {
  return keys.map(quoteName).join(', ')
}

/** Longer values in an error message help nobody. */
const SHOWN_CHARACTERS = 100

/**
 * Throws `null_key` or `duplicate_key`, with an example, unless every staged row has a key of its own. Of two rows with one key
 * either could win, and NULLs would not meet the row that they should replace.
 */
export async function requireSoundKeys(client: pg.ClientBase, job: SinkJob, target: TableName): Promise<void> {
  const keys = job.output.key_columns ?? []
  const staging = quoteTable(stagingTable(job.resultId, job.attempt))
  const names = keys.map(quoteName)
  const shown = names.map((name) => `left(${name}::text, ${SHOWN_CHARACTERS})`).join(', ')
  const list = names.join(', ')
  const query = async (text: string) => (await client.query<(string | null)[]>({ text, rowMode: 'array' })).rows[0]
  const missing = names.map((name) => `${name} IS NULL`).join(' OR ')
  const empty = await query(`SELECT ${shown} FROM ${staging} WHERE ${missing} LIMIT 1`)
  if (empty) {
    const message = `a row of the result has no key: ${example(keys, empty)}. Leave such rows out in the query (WHERE … IS NOT NULL). ${unchanged(target)}`
    throw new ConnectorError('null_key', message, { retriable: false })
  }
  const twice = await query(
    `SELECT count(*)::text, ${shown} FROM ${staging} GROUP BY ${list} HAVING count(*) > 1 LIMIT 1`,
  )
  if (twice) {
    const message = `${twice[0]} rows of the result have the key ${example(keys, twice.slice(1))}, and only one can stand for it. Make the query give one row for each key. ${unchanged(target)}`
    throw new ConnectorError('duplicate_key', message, { retriable: false })
  }
}

function example(keys: readonly string[], values: readonly (string | null)[]): string {
  return `(${keys.join(', ')}) = (${values.map((value) => value ?? 'NULL').join(', ')})`
}

export function unchanged(target: TableName): string {
  return `${displayTable(target)} is as it was`
}

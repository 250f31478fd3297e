// The sink contract on the destination `table`, read back by SQL.
import { randomBytes } from 'node:crypto'
import { afterEach, beforeAll } from 'vitest'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { JobOutput } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { type SeenRow, sinkContract, UPSERT_KEY } from '../sink-contract.ts'
import { type CutLine, cutLine } from './cut-line.ts'
import { connectTo, openClient, tableOutput } from './jobs.ts'

let url: string
let client: Awaited<ReturnType<typeof openClient>>
const lines: CutLine[] = []

beforeAll(async () => {
  url = await freshDatabase('pg-contract')
  client = await openClient(url)
  await client.query("SET timezone = 'UTC'")
})

afterEach(async () => {
  await Promise.all(lines.splice(0).map((line) => line.close()))
})

function freshTable(): string {
  return `scores.t_${randomBytes(6).toString('hex')}`
}

async function lineOf(steps?: number): Promise<CutLine> {
  const line = await cutLine(url, steps)
  lines.push(line)
  return line
}

/** As Postgres prints the values. */
async function read({ table_name }: JobOutput): Promise<SeenRow[] | null> {
  const found = await client.query(
    'SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum',
    [table_name],
  )
  if (found.rowCount === 0) return null
  const columns = found.rows.map(({ name }) => `${name}::text`).join(', ')
  return (await client.query(`SELECT ${columns} FROM ${table_name}`)).rows
}

async function leftovers(resultId: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE strpos(relname, $1) > 0
 UNION ALL SELECT 'lane ' || lane || ' of attempt ' || attempt FROM scoreline_sink.ledger WHERE job_id = $1`,
    [resultId],
  )
  return rows.map(({ name }) => name)
}

async function ledgerIsThere(): Promise<boolean> {
  const { rows } = await client.query(`SELECT to_regclass('scoreline_sink.ledger') IS NOT NULL AS there`)
  return rows[0]?.there
}

sinkContract('table', {
  visibility: 'whole',
  modes: ['overwrite', 'append', 'upsert', 'error'],
  chunkRows: 1000,
  expires: 'nothing',
  openSink: () => createTableSink(connectTo(url)),
  freshOutput: (mode) => tableOutput(freshTable(), mode, mode === 'upsert' ? { key_columns: [...UPSERT_KEY] } : {}),
  read,
  leftovers: async ({ resultId }) => ((await ledgerIsThere()) ? leftovers(resultId) : []),
  dyingSink: async (step) => {
    const line = await lineOf(step)
    return { sink: createTableSink(connectTo(line.url)), died: line.usedUp }
  },
  failing: {
    'a server that hangs up and cannot be reached': async (mode) => {
      const line = await lineOf()
      return {
        sink: createTableSink(connectTo(line.url)),
        output: tableOutput(freshTable(), mode),
        fail: async () => line.cut(),
        mend: async () => line.mend(),
      }
    },
  },
  ruin: async ({ table_name }) => {
    await client.query(`CREATE SCHEMA IF NOT EXISTS scores; CREATE VIEW ${table_name} AS SELECT 1 AS job`)
  },
})

// Fills the tables of the workloads, deterministically.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { seedCustomers } from '../../examples/churn/seed.ts'

/** A multiplicative hash of i in [0, 1), another one for each factor, as in the demo's seed.sql. */
const hash = (factor: string) => `(i * (${factor}) % 4294967296)::float8 / 4294967296`

const series = (rows: number) => `generate_series(1::bigint, ${rows}) AS i`

/** Columns `prefix`0 … in [0, 1). */
function numbers(prefix: string, count: number): string {
  return Array.from(
    { length: count },
    (_, n) => `(${hash(`2654435761 + 1000003 * ${n}::bigint`)})::real AS ${prefix}${n}`,
  ).join(', ')
}

/** SQL that makes the table with so many rows. */
const TABLES: Record<string, (rows: number) => string> = {
  wide: (rows) => `CREATE TABLE wide AS SELECT i AS row_id, ${numbers('x', 100)} FROM ${series(rows)};
    ALTER TABLE wide ADD PRIMARY KEY (row_id)`,
  pictures: (rows) => `CREATE TABLE pictures AS SELECT i AS picture_id, ${numbers('p', 784)} FROM ${series(rows)};
    ALTER TABLE pictures ADD PRIMARY KEY (picture_id)`,
  subscribers: (rows) => `CREATE TABLE subscribers AS SELECT i AS customer_id,
      'Customer ' || md5(i::text) AS full_name, md5(i::text) || '@example.com' AS email,
      (ARRAY['basic', 'plus', 'pro', 'família'])[1 + i % 4] AS plan,
      timestamptz '2025-01-01 00:00:00+00' + i * interval '1.000001 seconds' AS seen_at,
      timestamp '2019-06-01 12:00:00' + i * interval '17 seconds' AS joined_at,
      (1 + floor(72 * ${hash('2654435761')}))::integer AS tenure,
      18.25 + 100.5 * ${hash('2246822519')} AS monthly_charges, 8000 * ${hash('3266489917')} AS total_charges
    FROM ${series(rows)};
    ALTER TABLE subscribers ADD PRIMARY KEY (customer_id)`,
  flights: () => `CREATE TABLE flights (flight_id bigserial PRIMARY KEY, carrier text NOT NULL, origin text NOT NULL,
    dest text NOT NULL, month integer NOT NULL, hour integer NOT NULL, distance real NOT NULL, dep_delay real NOT NULL)`,
}

/** Makes the table anew. Resolves with its rows, which of `flights` are no more than there were. */
export async function fillTable(databaseUrl: string, table: string, rows: number, models: string): Promise<number> {
  if (table === 'customers') {
    await seedCustomers(databaseUrl, rows)
    return rows
  }
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(`DROP TABLE IF EXISTS ${table}; ${TABLES[table]?.(rows)}`)
    if (table === 'flights') {
      const lines = (await readFile(join(models, 'flights.csv'), 'utf8')).trimEnd().split('\n')
      const cells = lines.map((line) => line.split(','))
      const arrays = 'text text text integer integer real real'.split(' ').map((type, i) => `$${i + 1}::${type}[]`)
      await client.query(
        `INSERT INTO flights (carrier, origin, dest, month, hour, distance, dep_delay) SELECT * FROM unnest(${arrays})`,
        arrays.map((_, i) => cells.map((row) => row[i])),
      )
    }
    await client.query(`VACUUM ANALYZE ${table}`)
    return Number((await client.query(`SELECT count(*) AS rows FROM ${table}`)).rows[0].rows)
  } finally {
    await client.end()
  }
}

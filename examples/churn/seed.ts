// Fills `customers` in the database of a running service: `npx node examples/churn/seed.ts [rows]`. DATABASE_URL names it;
// by default the embedded Postgres of `npm start`.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

/** Replaces `customers` by so many deterministic rows. */
export async function seedCustomers(databaseUrl: string, rows: number): Promise<void> {
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  try {
    const sql = await readFile(join(import.meta.dirname, 'seed.sql'), 'utf8')
    await database.query(sql.replace(':rows', String(rows)))
    // A settled table: no query afterwards pays for hint bits or for an autovacuum of its own.
    await database.query('VACUUM ANALYZE customers')
  } finally {
    await database.end()
  }
}

if (import.meta.main) {
  const port = process.env.POSTGRES_PORT ?? '15432'
  const rows = Number(process.argv[2] ?? 500_000)
  await seedCustomers(process.env.DATABASE_URL ?? `postgres://scoreline@127.0.0.1:${port}/warehouse`, rows)
  console.log(`customers holds ${rows.toLocaleString('en')} rows`)
}

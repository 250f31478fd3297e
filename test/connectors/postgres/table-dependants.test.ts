// What hangs on a table that is overwritten: it keeps all of it, and what overwriting would harm is refused.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Problem, Sink, Source } from '../../../connectors/connector.ts'
import { createPostgresSource } from '../../../connectors/postgres/source.ts'
import { createTableSink } from '../../../connectors/postgres/table-sink.ts'
import type { WriteMode } from '../../../topics/jobs.ts'
import { freshDatabase } from '../../harness/servers.ts'
import { columnsOf, connectTo, jobInput, openClient, stageQuery, tableOutput, writeQuery } from './jobs.ts'

let connectors: { sink: Sink; source: Source }
let client: Awaited<ReturnType<typeof openClient>>

beforeAll(async () => {
  const url = await freshDatabase('pg-table-dependants')
  client = await openClient(url)
  connectors = { sink: createTableSink(connectTo(url)), source: createPostgresSource(connectTo(url)) }
})

afterAll(async () => {
  await Promise.all([connectors.sink.close(), connectors.source.close()])
})

/** Rows with these ids. */
function ids(...list: number[]): string {
  return `SELECT id, id * 1.5::float8 AS score FROM unnest('{${list}}'::int[]) AS id`
}

async function check(table: string, mode: WriteMode = 'overwrite'): Promise<Problem[]> {
  const query = ids(1)
  const output = tableOutput(table, mode, { key_columns: ['id'] })
  return connectors.sink.check(output, await columnsOf(connectors.source, query), jobInput(query))
}

/** An overwrite that passes its check. */
async function overwrite(table: string, ...list: number[]): Promise<void> {
  expect(await check(table)).toEqual([])
  await writeQuery(connectors, ids(...list), tableOutput(table))
}

async function values(text: string): Promise<unknown[]> {
  const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
  return rows.map((row) => (row.length === 1 ? row[0] : row))
}

/** Every catalog row that is about the table, by what Postgres itself says of it, but for what changes with each write. */
const CATALOG = `
SELECT to_jsonb(c) - '{relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,relhassubclass}'::text[] FROM pg_class c WHERE relname ~ '^kept' AND relkind <> 't'
UNION ALL SELECT to_jsonb(a) FROM pg_attribute a WHERE attrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_constraint x WHERE conrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_index x WHERE indrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_trigger x WHERE tgrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_policy x WHERE polrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_description x WHERE objoid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_publication_rel x WHERE prrelid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_depend x WHERE refobjid = 'kept'::regclass
UNION ALL SELECT to_jsonb(x) FROM pg_statistic_ext x WHERE stxrelid = 'kept'::regclass
ORDER BY 1`

test('overwriting keeps everything of the table but its rows', async () => {
  await client.query(`
CREATE TABLE places (id int PRIMARY KEY); INSERT INTO places SELECT generate_series(1, 9);
CREATE TABLE kept (serial bigserial, own int GENERATED ALWAYS AS IDENTITY, id int PRIMARY KEY REFERENCES places, score float8 CHECK (score > 0),
  twice float8 GENERATED ALWAYS AS (score * 2) STORED, note text DEFAULT 'default');
INSERT INTO kept (id, score, note) VALUES (1, 1, 'old');
CREATE INDEX kept_score ON kept (score) WHERE score > 1; CREATE INDEX kept_expression ON kept ((score + 1));
CREATE STATISTICS kept_statistics ON id, score FROM kept;
CREATE VIEW kept_view AS SELECT id, twice FROM kept; CREATE VIEW kept_view_of_view AS SELECT id FROM kept_view;
CREATE MATERIALIZED VIEW kept_materialized AS SELECT id FROM kept;
GRANT SELECT ON kept TO pg_monitor; GRANT UPDATE (score) ON kept TO pg_monitor;
COMMENT ON TABLE kept IS 'a comment'; COMMENT ON COLUMN kept.score IS 'another';
ALTER TABLE kept ENABLE ROW LEVEL SECURITY; CREATE POLICY kept_policy ON kept TO pg_monitor USING (id < 5);
ALTER TABLE kept ALTER COLUMN score SET STATISTICS 500; ALTER TABLE kept SET (fillfactor = 70); CLUSTER kept USING kept_pkey;
CREATE PUBLICATION kept_published FOR TABLE kept`)
  const before = await values(CATALOG)
  expect(before.length).toBeGreaterThan(40)
  await overwrite('kept', 2, 3)
  expect(await values(CATALOG)).toEqual(before)
  expect(await values('SELECT id, twice FROM kept_view ORDER BY id')).toEqual([
    [2, 6],
    [3, 9],
  ])
  expect(await values('SELECT id FROM kept_view_of_view ORDER BY id')).toEqual([2, 3])
  // Sequences go on, defaults are filled in.
  expect(await values('SELECT serial::int, own, note FROM kept ORDER BY id')).toEqual([
    [2, 2, 'default'],
    [3, 3, 'default'],
  ])
  // A materialised view is as old as its last refresh, and can be refreshed.
  expect(await values('SELECT id FROM kept_materialized')).toEqual([1])
  await client.query('REFRESH MATERIALIZED VIEW kept_materialized')
  expect(await values('SELECT id FROM kept_materialized ORDER BY id')).toEqual([2, 3])
})

describe('foreign keys', () => {
  test('of the target: rows that refer to nothing change nothing', async () => {
    await client.query(
      `CREATE TABLE of_places (id int REFERENCES places, score float8); INSERT INTO of_places VALUES (1, 1)`,
    )
    await expect(overwrite('of_places', 2, 77)).rejects.toMatchObject({
      code: 'foreign_key_violated',
      retriable: false,
      message: expect.stringMatching(
        /Key \(id\)=\(77\) is not present in table "places".*public.of_places is as it was/,
      ),
    })
    expect(await values('SELECT id FROM of_places')).toEqual([1])
  })

  test.each(['', 'DEFERRABLE INITIALLY DEFERRED'])(
    'to the target %s: what is referred to may be replaced, not lost',
    async (when) => {
      await client.query(`DROP TABLE IF EXISTS referrer, referred; CREATE TABLE referred (id int PRIMARY KEY, score float8);
CREATE TABLE referrer (id int REFERENCES referred ${when}); INSERT INTO referred VALUES (1, 0), (2, 0), (3, 0); INSERT INTO referrer VALUES (2), (3)`)
      await overwrite('referred', 2, 3, 4)
      expect(await values('SELECT id, score FROM referred ORDER BY id')).toEqual([
        [2, 3],
        [3, 4.5],
        [4, 6],
      ])
      const { job, rows } = await stageQuery(connectors, ids(3, 4), tableOutput('referred'))
      for (let i = 0; i < 2; i++) {
        await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject({
          code: 'foreign_key_violated',
          retriable: false,
          message: expect.stringMatching(
            /Key \(id\)=\(2\) is still referenced from table "referrer".*public.referred is as it was/,
          ),
        })
      }
      expect(await values('SELECT id FROM referred ORDER BY id')).toEqual([2, 3, 4])
      expect(await values('SELECT id FROM referrer ORDER BY id')).toEqual([2, 3])
    },
  )

  test.each(['CASCADE', 'SET NULL', 'SET DEFAULT', 'RESTRICT'])(
    'ON DELETE %s to the target is refused, also when it comes late',
    async (action) => {
      await client.query(`DROP TABLE IF EXISTS bound, binding; CREATE TABLE binding (id int PRIMARY KEY, score float8);
INSERT INTO binding VALUES (1, 0); CREATE TABLE bound (id int); INSERT INTO bound VALUES (1)`)
      expect(await check('binding')).toEqual([])
      const { job, rows } = await stageQuery(connectors, ids(1, 2), tableOutput('binding'))
      await client.query(`ALTER TABLE bound ADD FOREIGN KEY (id) REFERENCES binding ON DELETE ${action}`)
      const refusal = {
        code: 'table_referenced',
        message: expect.stringContaining('bound refer to public.binding'),
        retriable: false,
      }
      expect(await check('binding')).toMatchObject([{ code: 'table_referenced' }])
      await expect(connectors.sink.finalise(job, rows)).rejects.toMatchObject(refusal)
      expect(await values('SELECT id FROM bound')).toEqual([1])
      // An upsert deletes nothing.
      expect(await check('binding', 'upsert')).toEqual([])
      await writeQuery(connectors, ids(1, 2), tableOutput('binding', 'upsert', { key_columns: ['id'] }))
      expect([await values('SELECT id FROM bound'), await values('SELECT id, score FROM binding ORDER BY 1')]).toEqual([
        [1],
        [
          [1, 1.5],
          [2, 3],
        ],
      ])
    },
  )

  test('within the target harm nobody', async () => {
    await client.query(`CREATE TABLE tree (id int PRIMARY KEY, score float8, up int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree VALUES (1, 0, NULL), (2, 0, 1)`)
    await overwrite('tree', 3)
    expect(await values('SELECT id FROM tree')).toEqual([3])
  })
})

test('triggers fire, and one that objects changes nothing', async () => {
  await client.query(`CREATE TABLE audited (id int, score float8); INSERT INTO audited VALUES (1, 0); CREATE TABLE audit (what text, id int);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN INSERT INTO audit VALUES (TG_OP, OLD.id); RETURN OLD; END IF;
  IF NEW.id = 13 THEN RAISE EXCEPTION 'thirteen is unlucky'; END IF;
  INSERT INTO audit VALUES (TG_OP, NEW.id); RETURN NEW; END $$;
CREATE TRIGGER audit BEFORE INSERT OR DELETE ON audited FOR EACH ROW EXECUTE FUNCTION audit()`)
  await overwrite('audited', 2)
  const written = [
    ['DELETE', 1],
    ['INSERT', 2],
  ]
  expect(await values('SELECT what, id FROM audit')).toEqual(written)
  await expect(overwrite('audited', 13)).rejects.toMatchObject({
    code: 'finalise_failed',
    retriable: false,
    message: expect.stringContaining('thirteen is unlucky'),
  })
  expect([await values('SELECT what, id FROM audit'), await values('SELECT id FROM audited')]).toEqual([written, [2]])
})

test('child tables by inheritance are not emptied', async () => {
  await client.query(
    'CREATE TABLE elder (id int PRIMARY KEY, score float8); CREATE TABLE younger () INHERITS (elder); INSERT INTO younger VALUES (1, 0)',
  )
  expect(await check('elder')).toMatchObject([
    { code: 'table_inherited', detail: expect.stringContaining('younger inherit from public.elder') },
  ])
  expect(await check('elder', 'append')).toEqual([])
  await expect(writeQuery(connectors, ids(2), tableOutput('elder'))).rejects.toMatchObject({
    code: 'table_inherited',
    retriable: false,
  })
  expect(await values('SELECT id FROM younger')).toEqual([1])
  await overwrite('younger', 5)
  expect(await values('SELECT id FROM elder')).toEqual([5])
})

test('a partitioned table is overwritten with its partitions, and keeps them', async () => {
  await client.query(`CREATE TABLE sliced (id int PRIMARY KEY, score float8) PARTITION BY RANGE (id);
CREATE TABLE sliced_low PARTITION OF sliced FOR VALUES FROM (0) TO (10); CREATE TABLE sliced_high PARTITION OF sliced FOR VALUES FROM (10) TO (20);
INSERT INTO sliced VALUES (1, 0), (11, 0); CREATE TABLE to_slice (id int REFERENCES sliced_high); INSERT INTO to_slice VALUES (11)`)
  await overwrite('sliced', 2, 11)
  expect([await values('SELECT id FROM sliced_low'), await values('SELECT id FROM sliced_high')]).toEqual([[2], [11]])
  await expect(overwrite('sliced', 2)).rejects.toMatchObject({ code: 'foreign_key_violated' })
  await expect(overwrite('sliced', 11, 99)).rejects.toMatchObject({
    code: 'constraint_violated',
    message: expect.stringContaining('no partition of relation "sliced" found for row'),
  })
  // One partition by itself.
  await overwrite('sliced_low', 5)
  expect(await values('SELECT id FROM sliced ORDER BY 1')).toEqual([5, 11])
})

test('a published table whose rows nothing tells apart is refused', async () => {
  await client.query(
    'CREATE TABLE replicated (id int, score float8); CREATE PUBLICATION replicated_out FOR TABLE replicated',
  )
  expect(await check('replicated')).toMatchObject([
    { code: 'table_replica_identity', detail: expect.stringContaining('REPLICA IDENTITY FULL') },
  ])
  expect(await check('replicated', 'append')).toEqual([])
  await client.query('ALTER TABLE replicated REPLICA IDENTITY FULL; INSERT INTO replicated VALUES (1, 0)')
  await overwrite('replicated', 2)
  expect(await values('SELECT id FROM replicated')).toEqual([2])
})

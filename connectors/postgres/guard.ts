// The guard before the database: a job's query must be exactly one plain SELECT. It runs before every description, count and read.
// It exists for clear answers, and so that the text can stand inside `COPY (…)`. It is not the security boundary: a SELECT may call
// functions with side effects. That boundary is the role in the connection's URL, which should be able to read and nothing else,
// and the read-only transaction.
import type { Problem } from '../connector.ts'
import { hasSqlDetails, parse } from './parser.ts'

export interface PlainSelect {
  /** The statement alone: without what precedes it, without its semicolon and what follows. */
  readonly text: string
  /** Where `text` begins in the query, in characters, for the positions that the server reports. */
  readonly offset: number
  /** The tables that the query names, CTEs left out. */
  readonly tables: readonly { readonly schema: string | null; readonly table: string }[]
}

const POINTER = '/input/query'
const ONLY_SELECT = 'Only a plain SELECT (also WITH … SELECT, VALUES, UNION) can be a job’s input.'

/** Parses the query with Postgres's own parser. */
export async function guardQuery(query: string): Promise<{ select: PlainSelect } | { problem: Problem }> {
  if (query.trim() === '') return refuse('sql_empty', `expected a query, got an empty text. ${ONLY_SELECT}`)
  // The protocol ends a text at its first zero character, so the server would see another query than the parser.
  if (query.includes('\0')) return refuse('sql_syntax', 'expected a query without zero characters')
  let statements: Node[]
  try {
    statements = nodesOf(parse(query).stmts)
  } catch (error) {
    return refuse('sql_syntax', parserMessage(error, query))
  }
  const [statement] = statements
  if (!statement) return refuse('sql_empty', `expected a query, got only comments or semicolons. ${ONLY_SELECT}`)
  if (statements.length > 1) {
    return refuse(
      'sql_multiple_statements',
      `expected one statement, got ${statements.length}. Submit a job for each of them.`,
    )
  }
  const tree = nodesOf([statement.stmt])[0] ?? {}
  if (!('SelectStmt' in tree)) {
    return refuse(
      'sql_not_select',
      `expected a SELECT, got ${statementName(Object.keys(tree)[0] ?? 'nothing')}. ${ONLY_SELECT}`,
    )
  }
  const fault = findFault(tree)
  if (fault) return refuse(fault.code, fault.detail)
  return { select: { ...cutStatement(query, statement), tables: namedTables(tree) } }
}

/** Where in the query a position (1-based, in characters) is, for people: `line 3, column 15`. */
export function linePosition(query: string, position: number): string {
  const before = query.slice(0, Math.max(0, position - 1)).split('\n')
  return `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`
}

type Node = Readonly<Record<string, unknown>>

function refuse(code: string, detail: string): { problem: Problem } {
  return { problem: { code, pointer: POINTER, detail } }
}

function parserMessage(error: unknown, query: string): string {
  if (hasSqlDetails(error) && error.sqlDetails) {
    return `${error.message} at ${linePosition(query, error.sqlDetails.cursorPosition + 1)}`
  }
  // The parser is WebAssembly with a small stack: some thousands of nested expressions end in a RangeError.
  if (error instanceof RangeError)
    return 'the query is nested too deeply to be parsed: write long lists as IN (…) or VALUES'
  throw error
}

/** The parser counts in bytes of UTF-8. */
function cutStatement(query: string, statement: Node): { text: string; offset: number } {
  const bytes = Buffer.from(query)
  const from = (statement.stmt_location as number | undefined) ?? 0
  const length = (statement.stmt_len as number | undefined) || bytes.length - from
  return { text: bytes.toString('utf8', from, from + length), offset: bytes.toString('utf8', 0, from).length }
}

const WRITES = new Map([
  ['InsertStmt', 'INSERT'],
  ['UpdateStmt', 'UPDATE'],
  ['DeleteStmt', 'DELETE'],
  ['MergeStmt', 'MERGE'],
])

/** `CreateTableAsStmt` → `CREATE TABLE AS`. */
function statementName(tag: string): string {
  return tag
    .replace(/Stmt$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase()
}

/** The first thing, at any depth, that a plain SELECT has not. */
function findFault(tree: unknown): { code: string; detail: string } | null {
  for (const [key] of walk(tree)) {
    const write = WRITES.get(key)
    if (write)
      return { code: 'sql_not_select', detail: `expected a query that only reads, got WITH … ${write}. ${ONLY_SELECT}` }
    if (key === 'intoClause') {
      return {
        code: 'sql_not_select',
        detail: 'expected a query that only reads, got SELECT … INTO. The job’s output says where the result goes.',
      }
    }
    if (key === 'lockingClause') {
      return {
        code: 'sql_not_select',
        detail:
          'expected a query that only reads, got SELECT … FOR UPDATE or FOR SHARE, which locks rows. Leave the locking clause out.',
      }
    }
    if (key === 'ParamRef') {
      return {
        code: 'sql_parameter',
        detail: 'expected a complete query, got a parameter such as $1. Write the value into the query.',
      }
    }
  }
  return null
}

/** A CTE's name hides a table's only where the CTE is known: `WITH t AS (SELECT * FROM t) SELECT * FROM t` reads the table t. */
function namedTables(tree: unknown): PlainSelect['tables'] {
  const tables: { schema: string | null; table: string }[] = []
  const stack: { node: unknown; ctes: ReadonlySet<unknown> }[] = [{ node: tree, ctes: new Set() }]
  for (let next = stack.pop(); next; next = stack.pop()) {
    if (typeof next.node !== 'object' || next.node === null) continue
    const { withClause, RangeVar: table, ...rest } = next.node as Node
    const ctes = withClause ? openScope(withClause as Node, next.ctes, stack) : next.ctes
    if (table) {
      const { schemaname, relname } = table as { schemaname?: string; relname: string }
      if (schemaname !== undefined || !ctes.has(relname)) tables.push({ schema: schemaname ?? null, table: relname })
    }
    for (const node of Object.values(rest)) stack.push({ node, ctes })
  }
  return tables
}

/** Puts the CTEs' queries on the stack, each with the names that it sees, and returns those that the statement itself sees. */
function openScope(
  clause: Node,
  outer: ReadonlySet<unknown>,
  stack: { node: unknown; ctes: ReadonlySet<unknown> }[],
): ReadonlySet<unknown> {
  const queries = nodesOf(clause.ctes).map((node) => node.CommonTableExpr as Node)
  const all = new Set([...outer, ...queries.map((query) => query.ctename)])
  queries.forEach((query, i) => {
    const before = new Set([...outer, ...queries.slice(0, i).map((each) => each.ctename)])
    stack.push({ node: query.ctequery, ctes: clause.recursive ? all : before })
  })
  return all
}

/** All keys and values of a syntax tree, with a stack of its own: trees are deeper than the JavaScript stack likes. */
function* walk(tree: unknown): Generator<[string, unknown]> {
  const stack: unknown[] = [tree]
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    for (const [key, value] of Object.entries(node)) {
      if (!Array.isArray(node)) yield [key, value]
      stack.push(value)
    }
  }
}

function nodesOf(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter((each): each is Node => typeof each === 'object' && each !== null) : []
}

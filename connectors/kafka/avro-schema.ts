// The Avro schema of a topic's values: one record, every field nullable with null as its default, so that a later job with
// more or fewer columns stays compatible both ways. Source: Avro specification 1.12, "Names" and "Logical Types".
import { type Column, elementsOf } from '../../topics/columns.ts'
import type { Problem } from '../connector.ts'

/**
 * The name of a column as Avro allows it. A model's outputs are often called `71` or `dense/Softmax:0`, and nobody can alias
 * those in a query, so letters that Avro does not know become `_`; the field's `doc` then has the column's own name.
 */
export function avroName(name: string): string {
  const letters = name.replaceAll(/[^A-Za-z0-9_]/gu, '_')
  return /^[A-Za-z_]/.test(letters) ? letters : `_${letters}`
}

/** Two columns that would get the same name in Avro. */
export function avroProblems(columns: readonly Column[]): Problem[] {
  const owners = new Map<string, string>()
  const problems: Problem[] = []
  for (const { name } of columns) {
    const field = avroName(name)
    const owner = owners.get(field)
    if (owner !== undefined && owner !== name) {
      const detail = `the columns ${owner} and ${name} would both be the Avro field ${field}: give one of them an alias, leave one out by output.columns, or use format json`
      problems.push({ code: 'column_name_ambiguous', pointer: '/output/columns', detail })
    }
    owners.set(field, name)
  }
  return problems
}

/** The schema as the JSON text that is registered. */
export function avroSchema(columns: readonly Column[]): string {
  return JSON.stringify({
    type: 'record',
    name: 'Prediction',
    namespace: 'scoreline',
    fields: columns.map((column) => {
      const name = avroName(column.name)
      const doc = name === column.name ? {} : { doc: column.name }
      return { name, ...doc, type: ['null', avroType(column)], default: null }
    }),
  })
}

interface RecordSchema {
  readonly name?: string
  readonly namespace?: string
  readonly fields?: readonly { readonly name: string; readonly type: unknown }[]
}

/** What makes a new schema another than the one in the registry: records' names, and fields of another type. */
export function schemaDifferences(registered: string, ours: string): string[] {
  const [there, here] = [registered, ours].map((text) => JSON.parse(text) as RecordSchema) as [
    RecordSchema,
    RecordSchema,
  ]
  const [thereName, hereName] = [there, here].map(({ name, namespace }) => [namespace, name].filter(Boolean).join('.'))
  const types = new Map(there.fields?.map(({ name, type }) => [name, JSON.stringify(type)]))
  const differences = thereName === hereName ? [] : [`the record is ${thereName} there and ${hereName} in the output`]
  for (const { name, type } of here.fields ?? []) {
    const [old, text] = [types.get(name), JSON.stringify(type)]
    if (old !== undefined && old !== text) differences.push(`${name} is ${old} there and ${text} in the output`)
  }
  return differences
}

/** Whether a decimal fits Avro's logical type; Postgres allows numeric(2,5) and numeric(5,-2), which become strings. */
export function isAvroDecimal({ precision = 38, scale = 0 }: Column): boolean {
  return scale >= 0 && scale <= precision
}

function avroType(column: Column): unknown {
  if (column.length !== undefined) return { type: 'array', items: avroType(elementsOf(column)) }
  switch (column.kind) {
    case 'bool':
      return 'boolean'
    case 'int16':
    case 'int32':
      return 'int'
    case 'int64':
      return 'long'
    case 'float32':
      return 'float'
    case 'float64':
      return 'double'
    case 'binary':
      return 'bytes'
    case 'decimal': {
      const { precision = 38, scale = 0 } = column
      return isAvroDecimal(column) ? { type: 'bytes', logicalType: 'decimal', precision, scale } : 'string'
    }
    case 'uuid':
      return { type: 'string', logicalType: 'uuid' }
    case 'date':
      return { type: 'int', logicalType: 'date' }
    case 'timestamp':
      return { type: 'long', logicalType: 'local-timestamp-micros' }
    case 'timestamptz':
      return { type: 'long', logicalType: 'timestamp-micros' }
    case 'numeric':
    case 'utf8':
    case 'json':
    case 'jsonb':
      return 'string'
  }
}

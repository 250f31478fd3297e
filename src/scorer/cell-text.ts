// One cell as text, for the dead letter of a row that could not be scored.
import { type Column, isNull, type Vector } from '../../topics/columns.ts'
import { valueText } from '../../topics/value-text.ts'

/** Longer values are cut: a dead letter is for finding the row, and a chunk of them must fit into a Kafka record. */
const MAX_CHARACTERS = 1_000

/** The value at `row`, or null for NULL. */
export function cellText(column: Column, vector: Vector, row: number): string | null {
  if (isNull(vector, row)) return null
  const text = valueText(column, vector, row, MAX_CHARACTERS)
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text
}

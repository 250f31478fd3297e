// Predictions that are not a number: a row that has one has no prediction, and is set aside like any other that cannot be
// scored. Infinity is a number here: it is ordered and equal to itself, and every destination can hold it.
import type { Tensor, TensorData, Tensors } from '../model/model.ts'
import type { ScoringPlan } from '../model/scoring-plan.ts'

/** A row of a run's outputs, and the column in which it has a NaN. */
export interface NanRow {
  readonly row: number
  readonly column: string
}

/**
 * Rows with a NaN in a column of the result, ascending, each once; without predictions in the result, in any column. Where
 * there is none, as nearly always, it is one pass over the elements (2,000 of them: 3 µs).
 */
export function nanRows(plan: ScoringPlan, outputs: Tensors, count: number): NanRow[] {
  const suspect = Object.keys(outputs).filter((name) => hasNan(outputs[name] as Tensor))
  if (suspect.length === 0) return []
  const chosen = plan.outputs.filter((output) => output.from === 'model')
  const found = new Map<number, string>()
  for (const { output, index, width, column } of chosen.length > 0 ? chosen : plan.predictions) {
    if (!suspect.includes(output)) continue
    const { type, data } = outputs[output] as Tensor
    const [first, end] = index === null ? [0, width] : [index, index + 1]
    for (let row = 0; row < count; row++) {
      if (!found.has(row) && anyNan(type, data, row * width + first, row * width + end)) found.set(row, column.name)
    }
  }
  return [...found].map(([row, column]) => ({ row, column })).sort((a, b) => a.row - b.row)
}

function hasNan({ type, data }: Tensor): boolean {
  return anyNan(type, data, 0, data.length)
}

/** Loops of their own, so that V8 compiles each for the array it sees. */
function anyNan(type: Tensor['type'], data: TensorData, from: number, to: number): boolean {
  if (type === 'float32') return anyNanIn(data as Float32Array, from, to)
  if (type === 'float64') return anyNanInDoubles(data as Float64Array, from, to)
  if (type !== 'float16') return false
  const bits = data as Uint16Array
  for (let i = from; i < to; i++) if (((bits[i] as number) & 0x7fff) > 0x7c00) return true
  return false
}

function anyNanIn(data: Float32Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (Number.isNaN(data[i])) return true
  return false
}

function anyNanInDoubles(data: Float64Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (Number.isNaN(data[i])) return true
  return false
}

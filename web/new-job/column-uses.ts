// What becomes of each column of a query: a feature of the model, or passed through to the result. Pure.
import type { Model } from '../client/types.ts'

export interface ColumnUse {
  readonly name: string
  readonly type: string
  readonly use: string
}

export function usesOf(columns: readonly { name: string; type: string }[], model: Model | undefined): ColumnUse[] {
  const features = model?.features ?? []
  const inputs = model?.inputs.map(({ name }) => name) ?? []
  return columns.map(({ name, type }) => {
    const place = features.indexOf(name)
    if (place >= 0) return { name, type, use: `feature ${place + 1} of ${features.length}` }
    // A model without named features takes one input for each column.
    if (!features.length && inputs.includes(name)) return { name, type, use: 'input of the model' }
    return { name, type, use: 'passes through' }
  })
}

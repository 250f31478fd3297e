// From a block's sums to its predictions: label, probabilities or targets. All in single precision and in ONNX Runtime's order.
import type { Tensor, TensorData } from '../model.ts'
import type { Head, Labels, TreeEnsemble } from './ensemble.ts'
import { expOfNegative } from './exp.ts'

const f = Math.fround

/** Where the predictions of all rows are gathered. */
export interface Predictions {
  /** Turns the sums of `rows` rows, column by column with `stride` rows each, into predictions of rows `first` on. */
  add(sums: Float32Array, stride: number, first: number, rows: number): void
  label(): Tensor
  scores(): Tensor
}

export function newPredictions({ head, sums }: TreeEnsemble, rows: number): Predictions {
  const width = head.kind === 'binary' ? 2 : sums
  const scores = new Float32Array(rows * width)
  const classes = new Uint16Array(rows)
  return {
    add: adder(head, sums, scores, classes),
    label: () => ({ ...labelTensor('labels' in head ? head.labels : [], classes), dims: [rows] }),
    scores: () => ({ type: 'float32', dims: [rows, width], data: scores }),
  }
}

function adder(head: Head, width: number, scores: Float32Array, classes: Uint16Array): Predictions['add'] {
  switch (head.kind) {
    case 'regression':
      return (sums, stride, first, rows) => {
        for (let target = 0; target < width; target++) {
          const base = head.base[target] ?? 0
          for (let row = 0; row < rows; row++) {
            const sum = f((sums[target * stride + row] as number) / head.divisor)
            scores[(first + row) * width + target] = sum + base
          }
        }
      }
    case 'binary':
      return (sums, _stride, first, rows) => {
        for (let row = 0, at = first; row < rows; row++, at++) {
          const sum = f((sums[row] as number) + head.base)
          classes[at] = sum > head.border ? 1 : 0
          if (head.transform === 'logistic') {
            const more = logisticOf(Math.abs(sum))
            const less = sum === 0 ? more : 1 - more
            scores[at * 2] = sum < 0 ? more : less
            scores[at * 2 + 1] = sum < 0 ? less : more
          } else {
            scores[at * 2] = head.transform === 'complement' ? 1 - sum : -sum
            scores[at * 2 + 1] = sum
          }
        }
      }
    case 'classes': {
      const transform = TRANSFORMS[head.transform]
      const base = Float32Array.from({ length: width }, (_, i) => head.base[i] ?? 0)
      return (sums, stride, first, rows) => {
        for (let row = 0, at = first; row < rows; row++, at++) {
          const start = at * width
          let best = 0
          for (let i = 0; i < width; i++) {
            scores[start + i] = (sums[i * stride + row] as number) + (base[i] as number)
            if ((scores[start + i] as number) > (scores[start + best] as number)) best = i
          }
          classes[at] = best
          transform(scores, start, start + width)
        }
      }
    }
  }
}

/** Of a row's scores, from `start` to `end`. */
const TRANSFORMS = {
  none: () => {},
  logistic: (scores: Float32Array, start: number, end: number) => {
    for (let i = start; i < end; i++) scores[i] = logistic(scores[i] as number)
  },
  softmax: (scores: Float32Array, start: number, end: number) => {
    let most = scores[start] as number
    for (let i = start; i < end; i++) if ((scores[i] as number) > most) most = scores[i] as number
    let sum = 0
    for (let i = start; i < end; i++) {
      scores[i] = expOfNegative(f((scores[i] as number) - most))
      sum = f(sum + (scores[i] as number))
    }
    for (let i = start; i < end; i++) scores[i] = (scores[i] as number) / sum
  },
} as const

function logistic(value: number): number {
  const more = logisticOf(Math.abs(value))
  return value < 0 ? 1 - more : more
}

/** Of a value that is not negative. */
function logisticOf(value: number): number {
  return f(1 / f(1 + expOfNegative(-value)))
}

function labelTensor(labels: Labels, classes: Uint16Array): { type: 'int64' | 'string'; data: TensorData } {
  const [some] = labels
  if (typeof some === 'string') return { type: 'string', data: Array.from(classes, (i) => labels[i] as string) }
  // As 32-bit halves: a bigint for each row would be an object for each row.
  const values = new Int32Array(BigInt64Array.from(labels as readonly number[], BigInt).buffer)
  const data = new Int32Array(classes.length * 2)
  for (let row = 0; row < classes.length; row++) {
    const of = (classes[row] as number) * 2
    data[row * 2] = values[of] as number
    data[row * 2 + 1] = values[of + 1] as number
  }
  return { type: 'int64', data: new BigInt64Array(data.buffer) }
}

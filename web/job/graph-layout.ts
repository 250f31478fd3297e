// Where the boxes of a job's dataflow lie, and the lines between them: reader → scorers → one sink for each output, from left to
// right where there is room, from top to bottom where there is not. Pure.

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Line {
  /** Of an SVG path. */
  readonly path: string
  /** Where its label is: the middle. */
  readonly label: Box
}

export interface GraphLayout {
  readonly width: number
  readonly height: number
  readonly reader: Box
  readonly scorer: Box
  readonly sinks: readonly Box[]
  /** Reader → scorer, then scorer → each sink. */
  readonly lines: readonly Line[]
}

export const NODE = { width: 216, height: 128 } as const
const LABEL = { width: 148, height: 62 } as const
const GAP = { row: 20, side: 16 } as const
/** Between boxes below each other: the label and a bit of line on both sides. */
const DROP = LABEL.height + 36

/** Narrower, and the graph stands. */
export const LYING_WIDTH = 3 * NODE.width + 2 * (LABEL.width + 2 * GAP.side)

export function layoutGraph(width: number, sinks: number): GraphLayout {
  return width >= LYING_WIDTH ? lying(width, sinks) : standing(width, sinks)
}

function lying(width: number, sinks: number): GraphLayout {
  const height = sinks * NODE.height + (sinks - 1) * GAP.row
  const gap = (width - 3 * NODE.width) / 2
  const middle = (height - NODE.height) / 2
  const reader = { x: 0, y: middle, ...NODE }
  const scorer = { x: NODE.width + gap, y: middle, ...NODE }
  const ends = Array.from({ length: sinks }, (_, i) => ({
    x: 2 * (NODE.width + gap),
    y: i * (NODE.height + GAP.row),
    ...NODE,
  }))
  const across = (from: Box, to: Box): Line => {
    const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2]
    const turn = x1 + (x2 - x1) * 0.16
    // A label is on the level stretch before its sink, so that those of several sinks lie below each other.
    const label = { x: (x1 + x2 - LABEL.width) / 2 + (x2 - x1) * 0.03, y: y2 - LABEL.height / 2, ...LABEL }
    return { path: `M${x1} ${y1}C${turn} ${y1} ${x1} ${y2} ${turn} ${y2}L${x2} ${y2}`, label }
  }
  return {
    width,
    height,
    reader,
    scorer,
    sinks: ends,
    lines: [across(reader, scorer), ...ends.map((end) => across(scorer, end))],
  }
}

function standing(width: number, sinks: number): GraphLayout {
  const size = { width: Math.min(width, 420), height: NODE.height }
  const x = (width - size.width) / 2
  const step = NODE.height + DROP
  const boxes = Array.from({ length: 2 + sinks }, (_, i) => ({ x, y: i * step, ...size }))
  const [reader, scorer, ...ends] = boxes as [Box, Box, ...Box[]]
  const labelAt = (y: number): Box => ({ x: (width - LABEL.width) / 2, y: y - DROP / 2 - LABEL.height / 2, ...LABEL })
  const lines = boxes.slice(1).map((to, i): Line => {
    const middle = width / 2
    const top = to.y - DROP
    // Further sinks hang on the scorer too: their line passes those before beside the boxes.
    const beside = Math.max(4, x - 8)
    const from = scorer.y + scorer.height
    return i <= 1
      ? { path: `M${middle} ${top}L${middle} ${to.y}`, label: labelAt(to.y) }
      : {
          path: `M${middle} ${from + 8}L${beside} ${from + 8}L${beside} ${top + 8}L${middle} ${top + 8}L${middle} ${to.y}`,
          label: labelAt(to.y),
        }
  })
  return { width, height: boxes.length * step - DROP, reader, scorer, sinks: ends, lines }
}

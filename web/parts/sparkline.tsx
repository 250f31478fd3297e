// A small line of the last values, without axes: whether it goes well is told by its shape, the number beside it by words.

const WIDTH = 72
const HEIGHT = 18

export function Sparkline({ values }: { values: readonly number[] }) {
  if (values.length < 2) return <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />
  return (
    <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <path d={sparkPath(values)} />
    </svg>
  )
}

function sparkPath(values: readonly number[]): string {
  const top = Math.max(...values, 1)
  const step = WIDTH / (values.length - 1)
  return values
    .map(
      (value, i) =>
        `${i ? 'L' : 'M'}${(i * step).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`,
    )
    .join('')
}

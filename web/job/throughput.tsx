// Rows scored per second, as they came since the page was opened.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { useStore } from '../client/store.ts'
import { localTime, short } from '../parts/format.ts'
import { theme } from '../shell/theme.ts'

export interface RatePoint {
  readonly at: number
  readonly scored: number
  readonly written: number
}

const HEIGHT = 180
/** Seconds between two times of the axis: none twice. */
const TICKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600]

export function Throughput({ points }: { points: readonly RatePoint[] }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const chosen = useStore(theme)

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const made = new uPlot(options(element), dataOf(points), element)
    plot.current = made
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
    sizes.observe(element)
    return () => {
      sizes.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [chosen])
  useEffect(() => plot.current?.setData(dataOf(points)), [points])

  const last = points.at(-1)
  return (
    <figure class="chart">
      <figcaption>
        <span class="key scored">scored {last ? short(last.scored) : 0}/s</span>
        <span class="key written">written {last ? short(last.written) : 0}/s</span>
      </figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  )
}

function dataOf(points: readonly RatePoint[]): uPlot.AlignedData {
  return [points.map(({ at }) => at / 1000), points.map(({ scored }) => scored), points.map(({ written }) => written)]
}

/** In the page's colours as they are now. */
function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element)
  const colour = (name: string): string => style.getPropertyValue(name)
  const axis = {
    stroke: colour('--chart-text'),
    grid: { stroke: colour('--chart-grid'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  }
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(10, max * 1.1)] } },
    axes: [
      {
        ...axis,
        space: 80,
        incrs: TICKS_S,
        values: (_plot, ticks) => ticks.map((tick) => localTime(tick * 1000, tick * 1000)),
      },
      { ...axis, size: 48, values: (_plot, ticks) => ticks.map((tick) => short(tick)) },
    ],
    series: [
      {},
      { stroke: colour('--chart-scored'), fill: colour('--chart-fill'), width: 2, points: { show: false } },
      { stroke: colour('--chart-written'), width: 1.5, dash: [4, 3], points: { show: false } },
    ],
  }
}

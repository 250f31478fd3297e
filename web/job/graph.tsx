// The dataflow of a job, drawn and live: what each stage does and how much lies between them. An edge opens to its lanes.
import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { FlowAnswer, FlowEdge, FlowNode, Job } from '../client/types.ts'
import { placeText } from '../jobs/filter.ts'
import { count, duration, many, percent, short } from '../parts/format.ts'
import { type Box, layoutGraph } from './graph-layout.ts'
import { LanesTable } from './lanes-table.tsx'
import { type FlowSample, ratesOf, withSample } from './rates.ts'

export function Graph({ job, flow }: { job: Job; flow: FlowAnswer }) {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  const [open, setOpen] = useState<number | null>(null)
  const [samples, setSamples] = useState<readonly FlowSample[]>([])
  useEffect(() => setSamples((before) => withSample(before, flow)), [flow])
  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const sizes = new ResizeObserver(() => setWidth(element.clientWidth))
    sizes.observe(element)
    setWidth(element.clientWidth)
    return () => sizes.disconnect()
  }, [])
  const rates = ratesOf(samples)
  const layout = layoutGraph(Math.max(280, width), job.outputs.length)
  const boxes = [layout.reader, layout.scorer, ...layout.sinks]
  const edge = open === null ? undefined : flow.edges[open]
  return (
    <>
      <div class="graph" ref={box} style={{ height: `${layout.height}px` }}>
        <svg width={layout.width} height={layout.height} aria-hidden="true">
          {layout.lines.map(({ path }, i) => (
            <path key={path} d={path} class={`flow-line ${(rates[i === 0 ? 0 : 1] ?? 0) > 0 ? 'moving' : ''}`} />
          ))}
        </svg>
        {flow.nodes.map((node, i) => (
          <NodeBox
            key={`${node.role}${node.output}`}
            node={node}
            job={job}
            rate={rates[i] ?? null}
            style={placed(boxes[i])}
          />
        ))}
        {flow.edges.map((each, i) => (
          <EdgeButton
            key={`${each.topic}${each.output}`}
            edge={each}
            open={open === i}
            style={placed(layout.lines[i]?.label)}
            onPress={() => setOpen(open === i ? null : i)}
          />
        ))}
      </div>
      {edge ? <LanesTable edge={edge} /> : null}
    </>
  )
}

function placed(box: Box | undefined): JSX.CSSProperties {
  if (!box) return {}
  return { left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` }
}

const NAMES = { reader: 'Reader', scorer: 'Scorers', sink: 'Sink' } as const

interface NodeBoxProps {
  readonly node: FlowNode
  readonly job: Job
  /** Null: not known yet. */
  readonly rate: number | null
  readonly style: JSX.CSSProperties
}

function NodeBox({ node, job, rate, style }: NodeBoxProps) {
  const output = node.output === null ? undefined : job.outputs[node.output]?.output
  const place = output
    ? placeText(output)
    : node.role === 'scorer'
      ? `${job.model_id}@${job.model_version ?? '?'}`
      : 'SQL'
  return (
    <section class={`node ${node.done ? 'done' : ''}`} style={style} aria-label={`${NAMES[node.role]} ${place}`}>
      <h3>
        {NAMES[node.role]}
        <small title={place}>{place}</small>
      </h3>
      <p class="node-rate">
        <strong class="number">{rate === null ? '–' : short(Math.round(rate))}</strong> rows/s
        <span class="muted number">{short(node.rows)} in all</span>
      </p>
      <Shares node={node} />
      <p class="node-foot muted">
        {node.done ? 'done' : many(node.workers.length, 'worker')}
        {node.chunk_p95_ms === null ? null : (
          <span title="95 of 100 chunks took no longer">p95 {duration(node.chunk_p95_ms)} a chunk</span>
        )}
      </p>
    </section>
  )
}

/** Busy, held back and idle, as a bar and in words. */
function Shares({ node }: { node: FlowNode }) {
  const { busy_share: busy, back_pressured_share: held } = node
  if (busy === null || held === null)
    return <p class="shares muted">{node.done ? 'everything has passed' : 'no word from a worker yet'}</p>
  const idle = Math.max(0, 1 - busy - held)
  return (
    <div class="shares">
      <div class="share-bar" aria-hidden="true">
        <span class="busy" style={{ width: `${busy * 100}%` }} />
        <span class="held" style={{ width: `${held * 100}%` }} />
      </div>
      <p>
        <b>{percent(busy)}</b> busy
        {held > 0.005 ? (
          <>
            {' · '}
            <b>{percent(held)}</b> held back
          </>
        ) : null}
        {idle > 0.005 ? <> · {percent(idle)} idle</> : null}
      </p>
    </div>
  )
}

interface EdgeButtonProps {
  readonly edge: FlowEdge
  readonly open: boolean
  readonly style: JSX.CSSProperties
  readonly onPress: () => void
}

function EdgeButton({ edge, open, style, onPress }: EdgeButtonProps) {
  return (
    <button
      type="button"
      class="edge"
      style={style}
      aria-expanded={open}
      onClick={onPress}
      title={`${edge.topic}: ${count(edge.lag_chunks)} chunks wait for group ${edge.group}. Show the lanes`}
    >
      <span class="edge-topic">{edge.topic.replace(/\.v\d+$/, '')}</span>
      <span class="edge-lag number">
        <b>{short(edge.lag_chunks)}</b> chunks wait
      </span>
      <span class="muted number">{short(edge.lag_rows)} rows</span>
    </button>
  )
}

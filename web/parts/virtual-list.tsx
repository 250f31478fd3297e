// A long list of rows of one height, of which only those in view exist. The container scrolls by itself.
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { assignSlots } from './slots.ts'
import { scrollFor, windowOf } from './window.ts'

const OVERSCAN = 8

export interface VirtualListProps {
  readonly count: number
  readonly rowHeight: number
  readonly label: string
  /** The row that is kept in view; -1: none. */
  readonly selected: number
  readonly head: ComponentChildren
  /** Says which row it is, wherever it is in the list. */
  readonly idOf: (index: number) => string
  /** `slot` is the row's key: the elements of one that has left the view may be filled with another. */
  readonly row: (index: number, slot: number, style: JSX.CSSProperties) => ComponentChildren
  /** The rows that are drawn now. */
  readonly onWindow?: (first: number, end: number) => void
}

export function VirtualList({ count, rowHeight, label, selected, head, idOf, row, onWindow }: VirtualListProps) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ scrollTop: 0, height: 800 })
  const slots = useRef<ReadonlyMap<string, number>>(new Map())

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const measure = (): void => {
      const { scrollTop, clientHeight: height } = element
      setView((before) => (before.scrollTop === scrollTop && before.height === height ? before : { scrollTop, height }))
    }
    const sizes = new ResizeObserver(measure)
    sizes.observe(element)
    element.addEventListener('scroll', measure, { passive: true })
    measure()
    return () => {
      sizes.disconnect()
      element.removeEventListener('scroll', measure)
    }
  }, [])

  useLayoutEffect(() => {
    if (!box.current || selected < 0) return
    // The head sticks to the top and covers what is under it.
    const covered = box.current.firstElementChild?.clientHeight ?? 0
    const { scrollTop, clientHeight } = box.current
    const to = scrollFor(selected, { count, rowHeight, scrollTop, height: clientHeight - covered, overscan: 0 })
    if (to !== null) box.current.scrollTop = to
  }, [selected])

  const { first, end } = windowOf({ count, rowHeight, ...view, overscan: OVERSCAN })
  useEffect(() => onWindow?.(first, end), [first, end, count])
  const shown = Array.from({ length: end - first }, (_, i) => first + i)
  slots.current = assignSlots(slots.current, shown.map(idOf))
  return (
    <div class="virtual" ref={box} role="table" aria-label={label} aria-rowcount={count + 1}>
      {head}
      <div class="rows" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        {shown.map((index) =>
          row(index, slots.current.get(idOf(index)) as number, {
            transform: `translateY(${index * rowHeight}px)`,
            height: `${rowHeight}px`,
          }),
        )}
      </div>
    </div>
  )
}

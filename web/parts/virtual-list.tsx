// A long list of rows of one height, of which only those in view exist. The container scrolls by itself.
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { scrollFor, windowOf } from './window.ts'

const OVERSCAN = 8

export interface VirtualListProps {
  readonly count: number
  readonly rowHeight: number
  readonly label: string
  /** The row that is kept in view; -1: none. */
  readonly selected: number
  readonly head: ComponentChildren
  readonly row: (index: number, style: JSX.CSSProperties) => ComponentChildren
  /** The rows that are drawn now. */
  readonly onWindow?: (first: number, end: number) => void
}

export function VirtualList({ count, rowHeight, label, selected, head, row, onWindow }: VirtualListProps) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ scrollTop: 0, height: 800 })

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
  return (
    <div class="virtual" ref={box} role="table" aria-label={label} aria-rowcount={count + 1}>
      {head}
      <div class="rows" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        {Array.from({ length: end - first }, (_, i) => first + i).map((index) =>
          row(index, { transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` }),
        )}
      </div>
    </div>
  )
}

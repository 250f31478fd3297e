// Which rows of a long list are drawn: those in view, and some around them. Pure.

export interface ListView {
  readonly count: number
  readonly rowHeight: number
  readonly scrollTop: number
  readonly height: number
  /** Rows drawn beyond each edge, so that a quick scroll does not show a gap. */
  readonly overscan: number
}

/** Half-open range of rows. */
export function windowOf({ count, rowHeight, scrollTop, height, overscan }: ListView): { first: number; end: number } {
  const top = Math.floor(Math.max(0, scrollTop) / rowHeight)
  const shown = Math.ceil(height / rowHeight) + 1
  const end = Math.min(count, top + shown + overscan)
  return { first: Math.max(0, Math.min(top - overscan, end)), end }
}

/** Where to scroll so that a row is in view; null when it is already. */
export function scrollFor(row: number, { rowHeight, scrollTop, height }: ListView): number | null {
  const top = row * rowHeight
  if (top < scrollTop) return top
  if (top + rowHeight > scrollTop + height) return top + rowHeight - height
  return null
}

// Times as people and programs write them in requests and settings.

/** Ms since 1970 of a date (then UTC), or of a time with its zone; null if the text is neither. */
export function timeOf(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)) return null
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? null : ms
}

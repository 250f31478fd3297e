// Numbers of lanes, runs of them as one: 0–3, 7. Pure.
export function lanesText(lanes: readonly number[]): string {
  const runs: [number, number][] = []
  for (const lane of [...lanes].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last && lane === last[1] + 1) last[1] = lane
    else runs.push([lane, lane])
  }
  return runs.map(([first, end]) => (first === end ? String(first) : `${first}–${end}`)).join(', ') || '–'
}

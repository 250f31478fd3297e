// What is wrong with a field, below it.
import type { Fault } from './draft.ts'

export function Faults({ id, faults }: { id: string; faults: readonly Fault[] }) {
  return (
    <div id={id} aria-live="polite">
      {faults.map(({ pointer, detail }) => (
        <p key={pointer + detail} class="field-error">
          {detail}
        </p>
      ))}
    </div>
  )
}

// The query's field: a plain text field at once, the editor in its place when it is loaded.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { SqlEditor } from './codemirror.ts'

export interface SqlFieldProps {
  /** What the editor begins with, and what the plain field shows: the editor keeps its own text. */
  readonly value: string
  readonly fault: string
  readonly onChange: (query: string) => void
}

const LABEL = 'SQL query'

export function SqlField({ value, fault, onChange }: SqlFieldProps) {
  const host = useRef<HTMLDivElement>(null)
  const plain = useRef<HTMLTextAreaElement>(null)
  const editor = useRef<SqlEditor | null>(null)
  const latest = useRef({ value, onChange })
  latest.current = { value, onChange }
  const [ready, setReady] = useState(false)
  useEffect(() => {
    let gone = false
    import('./codemirror.ts').then(
      ({ openEditor }) => {
        if (gone || !host.current) return
        const field = plain.current
        const text = field?.value ?? latest.current.value
        editor.current = openEditor(host.current, text, LABEL, 'One SELECT statement', (query) =>
          latest.current.onChange(query),
        )
        // Whoever types goes on where they were.
        if (field && document.activeElement === field) editor.current.focus(field.selectionStart, field.selectionEnd)
        setReady(true)
      },
      // The plain field stays.
      () => {},
    )
    return () => {
      gone = true
      editor.current?.destroy()
      editor.current = null
    }
  }, [])
  return (
    <div class={`sql ${fault ? 'invalid' : ''}`}>
      <div ref={host} class="sql-editor" />
      {ready ? null : (
        <textarea
          ref={plain}
          aria-label={LABEL}
          class="mono"
          rows={6}
          spellcheck={false}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      )}
    </div>
  )
}

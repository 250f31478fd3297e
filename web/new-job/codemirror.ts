// The SQL editor: CodeMirror, in a chunk of its own that is loaded when a query is to be written. It lives in a shadow root,
// where its styles are constructed sheets; in the document it would add <style> elements, which the page's policy refuses.
import { autocompletion, closeBrackets, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { PostgreSQL, sql } from '@codemirror/lang-sql'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { EditorState } from '@codemirror/state'
import { drawSelection, EditorView, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'

export interface SqlEditor {
  /** Takes the focus, with this part of the text selected. */
  focus(from: number, to: number): void
  destroy(): void
}

// Custom properties of the page reach into a shadow root.
const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--accent)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--good)' },
  { tag: tags.number, color: 'var(--warn)' },
  { tag: [tags.lineComment, tags.blockComment], color: 'var(--muted)', fontStyle: 'italic' },
])

const look = EditorView.theme({
  '&': { fontSize: '13px', minHeight: '140px', color: 'var(--text)' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '1px', borderRadius: '6px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', minHeight: '140px', maxHeight: '340px', overflow: 'auto' },
  '.cm-content': { padding: '9px 4px', caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-placeholder': { color: 'var(--muted)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { background: 'var(--accent-soft)' },
  '.cm-tooltip': { background: 'var(--surface)', border: '1px solid var(--line)', color: 'var(--text)' },
})

/** Left to itself, Chrome gives text that is typed over a selection the style of what it replaces, as an attribute, which the policy refuses. */
const typeOverSelection = EditorView.domEventHandlers({
  beforeinput: (event, view) => {
    if (event.inputType !== 'insertText' || event.data === null || view.composing || view.state.selection.main.empty)
      return false
    event.preventDefault()
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: 'input.type', scrollIntoView: true })
    return true
  },
})

export function openEditor(
  host: HTMLElement,
  text: string,
  label: string,
  describedBy: string,
  onChange: (text: string) => void,
): SqlEditor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        history(),
        drawSelection(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        // Tab leaves the editor, as it leaves any field.
        keymap.of([...defaultKeymap, ...historyKeymap, ...completionKeymap]),
        sql({ dialect: PostgreSQL, upperCaseKeywords: true }),
        syntaxHighlighting(colours),
        look,
        typeOverSelection,
        EditorView.lineWrapping,
        placeholder('SELECT …'),
        EditorView.contentAttributes.of({ 'aria-label': label, 'aria-description': describedBy }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) onChange(update.state.doc.toString())
        }),
      ],
    }),
  })
  return {
    focus: (anchor, head) => {
      view.dispatch({ selection: { anchor, head } })
      view.focus()
    },
    destroy: () => view.destroy(),
  }
}

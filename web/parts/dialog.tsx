// A question before something that cannot be taken back, and any other content above the page.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

export interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  useEffect(() => element.current?.showModal(), [])
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onClose={onClose}>
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  )
}

export interface QuestionProps {
  readonly title: string
  readonly action: string
  readonly danger?: boolean
  /** False while it is not yet known whether the action can be done. */
  readonly ready?: boolean
  readonly onAnswer: (yes: boolean) => void
  readonly children: ComponentChildren
}

export function Question({ title, action, danger = false, ready = true, onAnswer, children }: QuestionProps) {
  return (
    <Dialog title={title} onClose={() => onAnswer(false)}>
      <div class="dialog-body">{children}</div>
      <form method="dialog" class="actions">
        <button type="submit" class="button">
          Not now
        </button>
        <button
          type="button"
          class={`button ${danger ? 'danger' : 'primary'}`}
          // biome-ignore lint/a11y/noAutofocus: the dialog was opened to ask just this.
          autoFocus
          disabled={!ready}
          onClick={() => onAnswer(true)}
        >
          {action}
        </button>
      </form>
    </Dialog>
  )
}

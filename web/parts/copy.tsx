// A text to take along, with a button that puts it on the clipboard.

import { Icon } from './icons.tsx'
import { announce } from './notices.tsx'

export function CopyButton({ text, what, label }: { text: string; what: string; label?: string }) {
  const copy = async (): Promise<void> => {
    // Only pages of https and of this machine have a clipboard.
    await navigator.clipboard?.writeText(text).then(
      () => announce(`Copied ${what}`),
      () => announce(`The browser does not let this page copy; select ${what} by hand`, true),
    )
  }
  return (
    <button
      type="button"
      class={label ? 'button small' : 'icon-button'}
      aria-label={label ? undefined : `Copy ${what}`}
      onClick={copy}
    >
      <Icon name="copy" />
      {label}
    </button>
  )
}

/** A block of text in the machine's letters. */
export function Snippet({ text, what }: { text: string; what: string }) {
  return (
    <div class="snippet">
      <pre tabIndex={0} role="region" aria-label={what}>
        {text}
      </pre>
      <CopyButton text={text} what={what} />
    </div>
  )
}

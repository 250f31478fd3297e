// The list of keys, on `?`.
import { Dialog } from '../parts/dialog.tsx'
import { activeKeys } from './keys.ts'

export function KeyHelp({ onClose }: { onClose: () => void }) {
  const keys = activeKeys()
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(({ key, does }) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog" class="actions">
        <button type="submit" class="button primary">
          Close
        </button>
      </form>
    </Dialog>
  )
}

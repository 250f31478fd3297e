// A file to take along. A link cannot carry an API key, so with one the page fetches the file itself.
import { access, send } from '../client/api.ts'
import { useStore } from '../client/store.ts'
import { Icon } from './icons.tsx'
import { announce } from './notices.tsx'

export function Download({ name, url }: { name: string; url: string }) {
  const guarded = useStore(access, ({ key }) => key !== null)
  // Into an object store the link is signed, and needs no key.
  if (!guarded || !url.startsWith('/'))
    return (
      <a class="mono" href={url} download={name}>
        <Icon name="download" /> {name}
      </a>
    )
  const fetchFile = async (): Promise<void> => {
    try {
      save(await (await send(url)).blob(), name)
    } catch (error) {
      announce(`Not downloaded: ${(error as Error).message}`, true)
    }
  }
  return (
    <button type="button" class="link mono" onClick={fetchFile}>
      <Icon name="download" /> {name}
    </button>
  )
}

function save(bytes: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(bytes)
  link.download = name
  link.click()
  URL.revokeObjectURL(link.href)
}

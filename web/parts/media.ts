// Whether the page fits a media query now.
import { useEffect, useState } from 'preact/hooks'

export function useMedia(query: string): boolean {
  const [fits, setFits] = useState(() => matchMedia(query).matches)
  useEffect(() => {
    const list = matchMedia(query)
    const check = (): void => setFits(list.matches)
    check()
    list.addEventListener('change', check)
    return () => list.removeEventListener('change', check)
  }, [query])
  return fits
}

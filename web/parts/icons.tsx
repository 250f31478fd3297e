// The few drawings of the page: strokes in the text's colour, hidden from screen readers, for words say the same beside them.

const PATHS = {
  jobs: 'M4 6h16M4 12h16M4 18h10',
  plus: 'M12 5v14M5 12h14',
  models: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5',
  schedules: 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  workers: 'M5 5h14v6H5zM5 13h14v6H5zM8 8h.01M8 16h.01',
  kafka:
    'M8 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM22 5a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM22 19a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM8 11l8-5M8 13l8 5',
  docs: 'M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h7',
  rows: 'M4 5h16M4 9.7h16M4 14.3h16M4 19h16',
  theme: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  key: 'M14 10a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM14 10h8M19 10v4',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7',
  cross: 'M6 6l12 12M18 6L6 18',
  stop: 'M7 7h10v10H7z',
  dot: 'M12 12h.01',
  wait: 'M12 7v5l3 2M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16z',
  play: 'M8 5l11 7-11 7z',
  again: 'M4 12a8 8 0 1 1 2.5 5.8M4 19v-5h5',
  warn: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  down: 'M6 9l6 6 6-6',
  download: 'M12 4v11M7 10l5 5 5-5M5 20h14',
  back: 'M15 5l-7 7 7 7',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM20 20l-4.5-4.5',
  help: 'M9 9a3 3 0 1 1 4 2.8c-.8.4-1 1-1 1.7M12 17h.01',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

// The frame of every page: navigation, the state of the connection, the page itself.
import { useEffect, useRef, useState } from 'preact/hooks'
import { access, signOut } from '../client/api.ts'
import { followJobs } from '../client/live-jobs.ts'
import { useStore } from '../client/store.ts'
import { JobPage } from '../job/job-page.tsx'
import { JobsPage } from '../jobs/jobs-page.tsx'
import { KafkaPage } from '../kafka/kafka-page.tsx'
import { ModelsPage } from '../models/models-page.tsx'
import { NewJobPage } from '../new-job/new-job-page.tsx'
import { Icon, type IconName } from '../parts/icons.tsx'
import { Announcer, Empty } from '../parts/notices.tsx'
import { SchedulesPage } from '../schedules/schedules-page.tsx'
import { WorkersPage } from '../workers/workers-page.tsx'
import { ConnectionBanner } from './connection.tsx'
import { KeyHelp } from './key-help.tsx'
import { useKeys } from './keys.ts'
import { address, go, type Route, routeOf } from './router.ts'
import { SignIn } from './sign-in.tsx'
import { density, nextDensity, nextTheme, theme } from './theme.ts'

const PAGES: readonly { path: string; page: Route['page']; name: string; icon: IconName }[] = [
  { path: '/', page: 'jobs', name: 'Jobs', icon: 'jobs' },
  { path: '/new', page: 'new', name: 'New job', icon: 'plus' },
  { path: '/models', page: 'models', name: 'Models', icon: 'models' },
  { path: '/schedules', page: 'schedules', name: 'Schedules', icon: 'schedules' },
  { path: '/workers', page: 'workers', name: 'Workers', icon: 'workers' },
  { path: '/kafka', page: 'kafka', name: 'Kafka', icon: 'kafka' },
]

export function App() {
  const { asked } = useStore(access)
  const route = routeOf(useStore(address).split('?')[0] ?? '/')
  const [help, setHelp] = useState(false)
  const main = useRef<HTMLElement>(null)
  const here = JSON.stringify(route)
  const first = useRef(true)
  useEffect(() => {
    // A new page is read from its beginning, as after a load; the first one has not been left yet.
    if (!first.current) main.current?.focus()
    first.current = false
  }, [here])
  useEffect(() => {
    if (asked) return
    const stop = new AbortController()
    followJobs(stop.signal)
    return () => stop.abort()
  }, [asked])
  useKeys([
    { key: '?', does: 'Show what the keys do', run: () => setHelp(true) },
    { key: 'g', does: 'Go to the jobs', run: () => go('/') },
  ])
  if (asked) return <SignIn />
  return (
    <div class="frame">
      <a class="skip" href="#main">
        To the content
      </a>
      <Sidebar route={route} onHelp={() => setHelp(true)} />
      <div class="page">
        <ConnectionBanner />
        <main id="main" ref={main} tabIndex={-1}>
          <Page route={route} key={here} />
        </main>
      </div>
      <Announcer />
      {help ? <KeyHelp onClose={() => setHelp(false)} /> : null}
    </div>
  )
}

function Page({ route }: { route: Route }) {
  switch (route.page) {
    case 'jobs':
      return <JobsPage />
    case 'job':
      return <JobPage jobId={route.jobId} />
    case 'new':
      return <NewJobPage />
    case 'models':
      return <ModelsPage />
    case 'schedules':
      return <SchedulesPage />
    case 'workers':
      return <WorkersPage />
    case 'kafka':
      return <KafkaPage />
    default:
      return (
        <Empty title="There is no such page">
          <p>
            <a href="/">The jobs</a> are a good place to go on from.
          </p>
        </Empty>
      )
  }
}

function Sidebar({ route, onHelp }: { route: Route; onHelp: () => void }) {
  const chosen = useStore(theme)
  const room = useStore(density)
  const key = useStore(access, (state) => state.key)
  return (
    <header class="sidebar">
      <a class="brand" href="/">
        <img src="/icon.svg" alt="" width="24" height="24" />
        <span>Scoreline</span>
      </a>
      <nav aria-label="Pages">
        {PAGES.map(({ path, page, name, icon }) => (
          <a
            key={path}
            href={path}
            aria-current={page === (route.page === 'job' ? 'jobs' : route.page) ? 'page' : undefined}
          >
            <Icon name={icon} />
            <span>{name}</span>
          </a>
        ))}
      </nav>
      <div class="tools">
        <a href="/docs" class="tool">
          <Icon name="docs" />
          <span>API</span>
        </a>
        <button type="button" class="tool" onClick={nextTheme} aria-label={`Colours: ${chosen}. Change`}>
          <Icon name="theme" />
          <span>{chosen}</span>
        </button>
        <button type="button" class="tool" onClick={nextDensity} aria-label={`Rows: ${room}. Change`}>
          <Icon name="rows" />
          <span>{room}</span>
        </button>
        <button type="button" class="tool" onClick={onHelp} aria-label="What the keys do">
          <Icon name="help" />
          <span>Keys</span>
        </button>
        {key === null ? null : (
          <button type="button" class="tool" onClick={signOut}>
            <Icon name="key" />
            <span>Sign out</span>
          </button>
        )}
      </div>
    </header>
  )
}

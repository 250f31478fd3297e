// The dashboard begins here.
import './styles/tokens.css'
import './styles/base.css'
import './styles/frame.css'
import './styles/parts.css'
import './styles/jobs.css'
import './styles/job.css'
import './styles/pages.css'
import { render } from 'preact'
import { App } from './shell/app.tsx'
import { listenToKeys } from './shell/keys.ts'
import { listenToLinks } from './shell/router.ts'
import { applyLook } from './shell/theme.ts'

applyLook()
listenToLinks()
listenToKeys()
render(<App />, document.getElementById('app') as HTMLElement)

// How long after a job is `running` its first scored rows are to be seen: in a real browser that shows the job's page from the
// moment of its submission, as after a press of Submit. Both times are of this machine's clock: that of the state is in the job's
// history, that of the rows is when the page had them in its document.
import type { Page } from 'playwright-core'
import { type BenchService, quantile, startBenchService } from '../service.ts'
import { launchBrowser } from './browser.ts'

const ROWS = 500_000
const CONFIG = { batch_size: 1000, parallelism: 4 }
const OUTPUTS = {
  Parquet: { destination: 'parquet', path: 'first-rows', mode: 'overwrite' },
  table: { destination: 'table', table_name: 'predictions.first_rows', mode: 'overwrite' },
}

export async function benchFirstRows(runs: number): Promise<void> {
  const service = await startBenchService({
    rows: ROWS,
    config: CONFIG,
    flags: [],
  })
  const browser = await launchBrowser()
  try {
    const context = await browser.newContext({ baseURL: service.url, locale: 'en-US' })
    const page = await context.newPage()
    await page.goto('/')
    for (const [name, output] of Object.entries(OUTPUTS)) {
      // The first one warms up every process.
      await seen(service, page, output)
      const waits: number[] = []
      for (let i = 0; i < runs; i++) waits.push(await seen(service, page, output))
      console.log(
        `first scored rows (${ROWS.toLocaleString('en')} rows to ${name}): ${quantile(waits, 0.5)} ms after running (median of ${runs}), at most ${Math.max(...waits)} ms`,
      )
    }
  } finally {
    await browser.close()
    await service.stop()
  }
}

/** From `running` until the rows are there, in ms. */
async function seen(service: BenchService, page: Page, output: object): Promise<number> {
  const jobId = await service.submit(output)
  await page.evaluate(`history.pushState(null, '', '/jobs/${jobId}'); dispatchEvent(new PopStateEvent('popstate'))`)
  const at = Number(
    await page.evaluate(`new Promise((resolve) => {
      const look = () => document.querySelector('[aria-label="The first rows that were scored"]') && resolve(Date.now())
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true })
      look()
    })`),
  )
  const { history } = await service.finished(jobId)
  const running = history.find(({ status }) => status === 'running')
  if (!running) throw new Error(`job ${jobId} was never running`)
  return at - Date.parse(running.at)
}

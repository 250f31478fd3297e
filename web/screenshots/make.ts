// `npm run screenshots`: starts the whole service with some work to do, and takes a picture of each page of the dashboard
// for docs/screenshots.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import chrome from '@sparticuz/chromium'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { temporaryDataDir } from '../../embedded/data-dir.ts'
import { freePort } from '../../embedded/ports.ts'
import { startPostgres } from '../../embedded/postgres.ts'
import { seedCustomers } from '../../examples/churn/seed.ts'
import { buildIfStale } from '../build.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const OUT = join(ROOT, 'docs/screenshots')
const ROWS = 4_000_000
const QUERY = 'SELECT customer_id, tenure, monthly_charges, total_charges FROM customers'
const BATCH = '/api/v1/inference/batch'

type Answer = Record<string, string>

async function makeAll(): Promise<void> {
  await buildIfStale()
  const dataDir = await temporaryDataDir('screenshots')
  const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
  const port = await freePort()
  const service = spawn(process.execPath, [join(ROOT, 'src/main.ts'), 'all'], {
    env: {
      ...process.env,
      DATA_DIR: dataDir.path,
      DATABASE_URL: postgres.url,
      KAFKA_BROKERS: '',
      KAFKA_PORT: String(await freePort()),
      PORT: String(port),
      HOST: '127.0.0.1',
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const executablePath = await chrome.executablePath()
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  try {
    await seedCustomers(postgres.url, ROWS)
    const url = `http://127.0.0.1:${port}`
    await whenReady(url)
    await takeAll(browser, url)
  } finally {
    await browser.close()
    service.kill('SIGTERM')
    await once(service, 'exit')
    await postgres.stop()
    await dataDir.remove()
  }
}

async function takeAll(browser: Browser, url: string): Promise<void> {
  await mkdir(OUT, { recursive: true })
  const features = 'tenure,monthly_charges,total_charges'
  const model = await readFile(join(ROOT, 'examples/churn/churn.onnx'))
  await ask(url, `/api/v1/models/churn?features=${features}`, 'PUT', model)
  await someHistory(url)
  const light = await pageOf(browser, url, { colorScheme: 'light' })
  const dark = await pageOf(browser, url, { colorScheme: 'dark' })
  const phone = await pageOf(browser, url, { colorScheme: 'light', viewport: { width: 360, height: 740 } })
  const jobId = await submit(url, [
    { destination: 'table', table_name: 'predictions.churn_scores' },
    { destination: 'parquet', path: 'churn-scores/' },
  ])
  await submit(url, { destination: 'parquet', path: 'churn-again/' })
  await light.goto('/')
  for (const page of [dark, phone, light]) {
    await page.goto(`/jobs/${jobId}`)
    await page.locator('.node', { hasText: 'busy' }).nth(2).waitFor()
    await page.locator('.data tbody tr').first().waitFor()
    await page.locator('.chart').waitFor()
    // The second look at the dataflow tells its rates. A line that lies flat has no height, and counts as hidden.
    await page.locator('.flow-line.moving').first().waitFor({ state: 'attached' })
  }
  await take(light, 'job')
  await take(dark, 'job-dark')
  await take(phone, 'job-narrow')
  for (const [page, name] of [
    [light, 'jobs'],
    [dark, 'jobs-compact-dark'],
  ] as const) {
    await page.goto('/')
    if (page === dark) await page.getByRole('button', { name: 'Rows: roomy. Change' }).click()
    await page.locator('.sparkline path').nth(1).waitFor()
    await take(page, name)
  }
  for (const name of ['models', 'schedules', 'workers', 'kafka']) {
    await light.goto(`/${name}`)
    await light.locator('tbody tr, .section').first().waitFor()
    await take(light, name)
  }
  await light.goto(`/new?from=${jobId}`)
  await light.locator('.preview tbody tr').first().waitFor()
  await take(light, 'new-job')
}

/** Jobs that ended in each way, and a schedule. */
async function someHistory(url: string): Promise<void> {
  for (let i = 0; i < 6; i++) {
    const query = `${QUERY} WHERE customer_id % 7 = ${i} LIMIT 20000`
    await finished(url, await submit(url, { destination: 'csv', path: `segment-${i}/` }, query))
  }
  const divided = QUERY.replace('total_charges', '1 / (customer_id - 100000) AS total_charges')
  const config = { config: { retry_count: 0 } }
  await finished(
    url,
    await submit(url, { destination: 'table', table_name: 'predictions.churn_ratio' }, divided, config),
  )
  const cancelled = await submit(url, { destination: 'parquet', path: 'by-mistake/' })
  await ask(url, `${BATCH}/${cancelled}/cancel`, 'POST')
  await submit(url, { destination: 'table', table_name: 'predictions.churn_nightly' }, QUERY, {
    schedule: { cron: '0 2 * * *', timezone: 'Europe/Berlin' },
  })
}

async function pageOf(browser: Browser, baseURL: string, look: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext({
    baseURL,
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'Europe/Berlin',
    ...look,
  })
  return context.newPage()
}

async function take(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(OUT, `${name}.png`), animations: 'disabled' })
  console.log(`• ${name}.png`)
}

async function submit(url: string, output: object | object[], query = QUERY, more: object = {}): Promise<string> {
  const outputs = Array.isArray(output) ? { outputs: output } : { output }
  const answer = await ask(url, BATCH, 'POST', {
    model_id: 'churn',
    input: { source: 'sql', query },
    ...outputs,
    ...more,
  })
  return answer.job_id ?? answer.schedule_id ?? ''
}

async function finished(url: string, jobId: string): Promise<void> {
  for (;;) {
    const { finished_at } = await ask(url, `${BATCH}/${jobId}`, 'GET')
    if (finished_at) return
    await new Promise((resume) => setTimeout(resume, 200))
  }
}

async function whenReady(url: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${url}/readyz`).catch(() => null)
    if (answer?.ok) return
    await new Promise((resume) => setTimeout(resume, 200))
  }
}

async function ask(url: string, path: string, method: string, body?: unknown): Promise<Answer> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    headers: body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
    ...(body === undefined ? {} : { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}

await makeAll()

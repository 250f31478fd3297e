// The dashboard in a real browser, on a real service.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../embedded/ports.ts'
import { buildIfStale } from '../../web/build.ts'
import { openBrowser, seriousIssues, type TestBrowser, type TestPage } from '../harness/browser.ts'
import {
  CHURN_FEATURES,
  CUSTOMERS,
  churnJob,
  modelBytes,
  registerModel,
  run,
  seedCustomers,
  smallJob,
  submit,
} from '../harness/jobs.ts'
import { keySetting } from '../harness/keys.ts'
import { type JsonObject, type Service, startService } from '../harness/service.ts'
import { startReceiver } from '../webhook/receiver.ts'

const WEBHOOKS = {
  WEBHOOK_SECRETS: JSON.stringify({ default: `whsec_${Buffer.alloc(32, 'web').toString('base64')}` }),
  WEBHOOK_PRIVATE_NETWORKS: '127.0.0.1',
}

let service: Service
let browser: TestBrowser

beforeAll(async () => {
  const port = String(await freePort())
  ;[service] = await Promise.all([startService({ name: 'web', settings: { PORT: port, ...WEBHOOKS } }), buildIfStale()])
  browser = await openBrowser(service.url)
  await registerModel(service, 'churn', 'churn.onnx', CHURN_FEATURES)
  await registerModel(service, 'per-column', 'per-column.onnx')
  await seedCustomers(service, 20_000)
  // `visits` is an integer feature, so a row without it cannot be scored.
  await service.query(
    `CREATE TABLE visitors AS SELECT i AS id, i::real AS amount, CASE WHEN i % 10 > 0 THEN i::bigint END AS visits, 'pro' AS plan FROM generate_series(1, 100) i`,
  )
})

/** A page that must have nothing to complain about at the end of the test. */
async function quietPage(options: Parameters<TestBrowser['page']>[0] = {}): Promise<TestPage> {
  const page = await browser.page(options)
  onTestFinished(() => page.context().close())
  onTestFinished(() => expect(page.complaints).toEqual([]))
  return page
}

/** A job whose rows come a few at a time, for about `seconds`; wide ones, for Postgres sends what fills a buffer. */
function slowJob(table: string, seconds: number): JsonObject {
  const query = `SELECT c.*, repeat('.', 2000) AS padding FROM (${CUSTOMERS} LIMIT 500) c, pg_sleep(${seconds / 500} * (c.customer_id / c.customer_id))`
  return churnJob({
    query,
    output: { destination: 'table', table_name: `predictions.${table}`, columns: ['customer_id', 'label'] },
    config: { batch_size: 5 },
  })
}

const badge = (page: TestPage, state: string) => page.locator('.page-head .badge', { hasText: state })

test('a job is written, checked as it is written, submitted, and seen through to its end', async () => {
  const page = await quietPage()
  await page.goto('/new')
  await page.getByLabel('Model', { exact: true }).selectOption('churn')
  await page.locator('.cm-content').click()
  await page.keyboard.type('SELECT customer_id, tenure FROM customers')
  await page.getByLabel('Table', { exact: true }).fill('predictions.by_form')
  // What is missing is said while it is written, and there is no way to submit it.
  await page.locator('#query-faults', { hasText: 'monthly_charges' }).waitFor()
  expect(await page.getByRole('button', { name: 'Submit' }).isDisabled()).toBe(true)
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+a')
  await page.keyboard.type(CUSTOMERS)
  const preview = page.locator('.preview')
  await preview.getByText('20,000').waitFor()
  expect(await preview.locator('tbody tr').count()).toBe(3)
  expect(await preview.locator('.uses li', { hasText: 'tenure' }).innerText()).toContain('feature 1 of 3')
  expect(await preview.locator('.uses li', { hasText: 'customer_id' }).innerText()).toContain('passes through')
  await page.getByRole('button', { name: 'Submit' }).click()
  await page.waitForURL(/\/jobs\/batch-/)
  await badge(page, 'completed').waitFor()
  const rows = page.getByRole('region', { name: 'The first rows that were scored' })
  await rows.waitFor()
  expect(await rows.locator('th').allInnerTexts()).toEqual([
    'customer_id',
    'label',
    'probabilities_0',
    'probabilities_1',
  ])
  expect(await page.getByLabel('the query', { exact: true }).innerText()).toContain('predictions.by_form')
  expect(await page.locator('.timeline strong').allInnerTexts()).toEqual([
    'Submitted',
    'Preparing',
    'Running',
    'Completing',
    'Completed',
  ])
  expect(await service.query('SELECT count(*)::int AS rows FROM predictions.by_form')).toEqual([{ rows: 20_000 }])
  expect(await seriousIssues(page)).toEqual([])
})

test('what is typed before the editor is loaded stays, and goes on in it', async () => {
  const page = await quietPage()
  const loaded = Promise.withResolvers<void>()
  await page.route('**/assets/codemirror-*', async (route) => {
    await loaded.promise
    await route.continue()
  })
  await page.goto('/new')
  await page.getByLabel('SQL query').click()
  await page.keyboard.type('SELECT customer_id FROM customers')
  for (let i = 0; i < ' FROM customers'.length; i++) await page.keyboard.press('ArrowLeft')
  loaded.resolve()
  await page.locator('.cm-content').waitFor()
  await page.keyboard.type(', tenure')
  await page.locator('.cm-content', { hasText: 'SELECT customer_id, tenure FROM customers' }).waitFor()
})

test('the dataflow moves, opens to its lanes, shows its first rows while it runs, and is cancelled by a key', async () => {
  const page = await quietPage()
  const job_id = await submit(service, slowJob('slow', 60))
  await page.goto(`/jobs/${job_id}`)
  await page.getByRole('region', { name: 'The first rows that were scored' }).waitFor()
  const scorers = page.getByRole('region', { name: /^Scorers/ })
  const scored = async () => Number(/([\d,]+) in all/.exec(await scorers.innerText())?.[1])
  const before = await scored()
  await expect.poll(scored).toBeGreaterThan(before)
  await scorers.getByText('busy').waitFor()
  await page.getByRole('button', { name: /chunks\.cpu/ }).click()
  const lanes = page.getByRole('region', { name: 'Lanes of chunks.cpu.v1' })
  expect(await lanes.locator('tbody tr').count()).toBe(4)
  await lanes.getByRole('button', { name: 'Rows done' }).click()
  const done = (await lanes.locator('tbody tr td:nth-child(7)').allInnerTexts()).map(Number)
  expect(done).toEqual([...done].sort((a, b) => b - a))
  expect(await seriousIssues(page)).toEqual([])
  await page.getByRole('heading', { level: 1 }).click()
  await page.keyboard.press('c')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click()
  await badge(page, 'cancelled').waitFor()
})

test('what a job waits for is on its page, and so is whom its end is told', async () => {
  const receiver = await startReceiver()
  onTestFinished(() => receiver.stop())
  receiver.answer = (response) => response.writeHead(receiver.received.length === 1 ? 500 : 204).end()
  const page = await quietPage()
  const job = { ...smallJob('waits'), config: { accelerator: 'gpu' }, webhook: { url: receiver.url('/end') } }
  await page.goto(`/jobs/${await submit(service, job)}`)
  await page.locator('.callout.warn', { hasText: 'no scorer of the gpu pool is alive' }).waitFor()
  const webhook = page.locator('.section', { has: page.getByRole('heading', { name: 'Webhook' }) })
  await webhook.getByText('waits for the end of the job').waitFor()
  expect(await seriousIssues(page)).toEqual([])
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click()
  await badge(page, 'cancelled').waitFor()
  await webhook.getByText('delivered', { exact: true }).waitFor()
  // The page's clock moves once a second: until then the try may be a little ahead of it.
  await expect.poll(() => webhook.innerText()).toMatch(/2 tries, the last (now|\d+ s ago)/)
  const story = await page.locator('.timeline').innerText()
  expect(story).toMatch(/Submitted[\s\S]*Stood still[\s\S]*no scorer of the gpu pool[\s\S]*Cancelled/)
})

test('with API keys the page asks for one, and for another when it is taken back', async () => {
  const file = join(service.outputDir, '..', 'keys.json')
  const reader = { tenant: 'default', scopes: ['read' as const] }
  writeFileSync(file, keySetting({ 'key-to-read': reader, 'key-for-all': 'default' }))
  const guarded = await service.start('api', { API_KEYS_FILE: file, PORT: '0' })
  onTestFinished(async () => void (await guarded.kill('SIGTERM')))
  const page = await quietPage({ baseURL: guarded.url as string })
  await page.goto(`/jobs/${await submit(service, slowJob('guarded', 60))}`)
  const enter = async (key: string): Promise<void> => {
    await page.getByLabel('API key').fill(key)
    await page.keyboard.press('Enter')
  }
  const cancel = async (): Promise<void> => {
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click()
  }
  await enter('no-such-key')
  await page.getByRole('alert').getByText('does not know this key').waitFor()
  expect(await seriousIssues(page)).toEqual([])
  // It goes on where one wanted to go; and what the key does not allow is said.
  await enter('key-to-read')
  await badge(page, 'running').waitFor()
  await cancel()
  await page.getByRole('status').getByText('needs an API key with scope submit; yours has read').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await enter('key-for-all')
  await badge(page, 'running').waitFor()
  await cancel()
  await badge(page, 'cancelled').waitFor()
  writeFileSync(file, keySetting({ 'key-to-read': reader }))
  await page.getByRole('alert').getByText('not any more').waitFor()
  expect(await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]))).not.toContain(
    'key-for',
  )
  await enter('key-to-read')
  await badge(page, 'cancelled').waitFor()
})

test('a failed job says why, row by row, and just those rows are run again after a look at them', async () => {
  const page = await quietPage()
  const job = (table: string, max_failed_rows: number) => ({
    model_id: 'per-column',
    input: { source: 'sql', query: 'SELECT * FROM visitors', key_column: 'id' },
    output: { destination: 'table', table_name: `predictions.${table}` },
    config: { max_failed_rows },
  })
  await page.goto(`/jobs/${await submit(service, job('strict', 5))}`)
  await badge(page, 'failed').waitFor()
  expect(await page.locator('.callout.bad').innerText()).toContain('max_failed_rows')
  const { job_id } = await run(service, job('visitors', 50))
  await service.query('UPDATE visitors SET visits = 1 WHERE visits IS NULL AND id > 20')
  await page.goto(`/jobs/${job_id}`)
  const reason = page.locator('.reason', { hasText: 'visits is NULL' })
  await reason.locator('summary').click()
  expect(await reason.locator('summary').innerText()).toContain('10 rows')
  // The rows are drawn when the browser tells the page that it has opened, which is after the click.
  await expect.poll(() => reason.locator('tbody tr').count()).toBe(10)
  await page.getByRole('button', { name: 'Run just these again' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('predictions.visitors').waitFor()
  expect(await dialog.locator('.facts').innerText()).toContain('10, in about')
  expect(await dialog.innerText()).toContain('visits is NULL')
  await dialog.getByRole('button', { name: 'Submit the job' }).click()
  await page.waitForURL((url) => !url.pathname.endsWith(job_id))
  await badge(page, 'completed').waitFor()
  // The two that were not mended have failed again, the others are in the table now.
  await page.getByRole('heading', { name: '2 rows failed' }).waitFor()
  expect(await service.query('SELECT count(*)::int AS rows FROM predictions.visitors')).toEqual([{ rows: 98 }])
  expect(await seriousIssues(page)).toEqual([])
})

test('a model is registered by dropping its file', async () => {
  const page = await quietPage()
  await page.goto('/models')
  await page.getByText('Drop an ONNX file here').waitFor()
  const bytes = [...(await modelBytes('linear.onnx'))]
  const files = await page.evaluateHandle((content) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([new Uint8Array(content)], 'Dropped Model.onnx'))
    return transfer
  }, bytes)
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: files })
  expect(await page.getByLabel('Model id').inputValue()).toBe('dropped-model')
  // What the service says against it is shown beside the field.
  await page.getByRole('button', { name: /^Register/ }).click()
  await page.getByRole('alert').getByText('features').waitFor()
  await page.getByLabel('Features, in order').fill('a, b, c')
  await page.getByRole('button', { name: /^Register/ }).click()
  await page.getByRole('heading', { name: 'dropped-model' }).waitFor()
  expect((await service.request('/api/v1/models/dropped-model')).body.versions).toHaveLength(1)
})

test('the keyboard is enough: choose a job, open it, go back, search, cancel, ask for the keys, write a new one', async () => {
  const page = await quietPage()
  await run(service, churnJob({ query: `${CUSTOMERS} LIMIT 10`, output: { destination: 'csv', path: 'by-key' } }))
  const newest = await run(
    service,
    churnJob({ query: `${CUSTOMERS} LIMIT 10`, output: { destination: 'csv', path: 'other' } }),
  )
  await page.goto('/')
  await page.locator('.job-row a').first().waitFor()
  for (const key of ['j', 'j', 'k']) await page.keyboard.press(key)
  await page.keyboard.press('Enter')
  await page.waitForURL(`**/jobs/${newest.job_id}`)
  await badge(page, 'completed').waitFor()
  await page.keyboard.press('Escape')
  await page.waitForURL(({ pathname }) => pathname === '/')
  await page.locator('.job-row a').first().waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('by-key')
  await expect.poll(() => page.locator('.rows .job-row').count()).toBe(1)
  await page.keyboard.press('Escape')
  await page.keyboard.press('?')
  expect(await page.getByRole('dialog').innerText()).toContain('Cancel the job')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  const job_id = await submit(service, slowJob('by_key', 60))
  await page.keyboard.press('/')
  await page.keyboard.press('Control+a')
  await page.keyboard.type('by_key')
  await page.locator('.job-row', { hasText: job_id }).waitFor()
  await page.keyboard.press('Escape')
  await page.keyboard.press('j')
  await page.keyboard.press('c')
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Enter')
  await page.locator('.job-row', { hasText: job_id }).locator('.badge', { hasText: 'cancelled' }).waitFor()
  await page.keyboard.press('n')
  await page.waitForURL('**/new')
  // Every field is reached by Tab, the editor is left by it too. It takes the place of a plain field when it is loaded.
  await page.locator('.cm-content').waitFor()
  const reached = new Set<string>()
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab')
    reached.add(
      await page.evaluate(() => {
        const { activeElement: at } = document
        return at?.shadowRoot ? 'editor' : at?.id || (at as HTMLElement).innerText
      }),
    )
  }
  expect([...reached]).toEqual(expect.arrayContaining(['model', 'editor', 'key', 'output-0-place', 'By the clock']))
})

test('every page is sound in light and dark, and fits 360 px', async () => {
  const page = await quietPage({ colorScheme: 'light', viewport: { width: 360, height: 740 } })
  const moving = await submit(service, slowJob('narrow', 60))
  const over = await run(service, smallJob('narrow_over'))
  const jobs = [`/jobs/${moving}`, `/jobs/${over.job_id}`]
  for (const path of ['/', ...jobs, '/new', '/models', '/schedules', '/workers', '/kafka']) {
    await page.goto(path)
    await page.locator('h1, .job-row a').first().waitFor()
    if (path.endsWith(moving)) await page.locator('.node', { hasText: 'busy' }).first().waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBe(360)
    expect(await seriousIssues(page), path).toEqual([])
    // What a colour scheme changes is colours.
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await seriousIssues(page, ['color-contrast']), path).toEqual([])
    await page.emulateMedia({ colorScheme: 'light' })
  }
  await service.request(`/api/v1/inference/batch/${moving}/cancel`, { method: 'POST' })
})

test('how much fits into a list is the reader’s choice, and stays', async () => {
  const page = await quietPage()
  await page.goto('/')
  const height = () =>
    page
      .locator('.rows .job-row')
      .first()
      .evaluate((row) => row.clientHeight)
  await page.locator('.rows .job-row').first().waitFor()
  const roomy = await height()
  await page.getByRole('button', { name: 'Rows: roomy. Change' }).click()
  await expect.poll(height).toBeLessThan(roomy)
  await page.reload()
  await page.locator('.rows .job-row').first().waitFor()
  expect(await height()).toBeLessThan(roomy)
  expect(await seriousIssues(page)).toEqual([])
})

test('a lost connection is shown and heals, and what changed meanwhile is there', async () => {
  const page = await browser.page()
  onTestFinished(() => page.context().close())
  await page.goto('/')
  await page.locator('.job-row a').first().waitFor()
  const job_id = await submit(service, slowJob('while_away', 3))
  await page.locator('.job-row', { hasText: job_id }).waitFor()
  await service.processes('api')[0]?.kill('SIGKILL')
  await page.getByRole('alert').getByText('No connection to the service').waitFor()
  await service.start('api')
  await page.getByText('No connection to the service').waitFor({ state: 'detached' })
  await page.locator('.job-row', { hasText: job_id }).locator('.badge', { hasText: 'completed' }).waitFor()
  // The browser itself says that requests failed; the page must not add to it.
  expect(page.complaints.filter((text) => !/Failed to load resource|net::ERR/.test(text))).toEqual([])
})

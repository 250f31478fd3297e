// The dashboard with 10,000 finished jobs and 50 that run. An API process alone, over topics that this fills; the running jobs
// report as workers do, four times a second each.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Page } from 'playwright-core'
import { temporaryDataDir } from '../../embedded/data-dir.ts'
import { startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { startPostgres } from '../../embedded/postgres.ts'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { ledgerRecord } from '../../src/kafka/ledger.ts'
import { controlPartition } from '../../src/kafka/partitioner.ts'
import { type OutgoingRecord, openProducer, type RecordProducer } from '../../src/kafka/producer.ts'
import { ensureTopics } from '../../src/kafka/topic-admin.ts'
import { entry, running } from '../../test/job/snapshots.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { launchBrowser } from './browser.ts'
import { type Task, tasksDuring } from './main-thread.ts'

const FINISHED = 10_000
const RUNNING = 50
const TENANT = 'default'

function jobRecord(job: JobSnapshot): OutgoingRecord {
  return { topic: jobsTopic, partition: controlPartition(TENANT), key: job.job_id, value: jobCodec.encode(job) }
}

function snapshots(): { finished: JobSnapshot[]; active: JobSnapshot[] } {
  const now = Date.now()
  const base = (i: number): Partial<JobSnapshot> => ({
    tenant_id: TENANT,
    submitted_at: BigInt(now - i * 10_000),
    started_at: BigInt(now - i * 10_000 + 100),
  })
  const active = Array.from({ length: RUNNING }, (_, i) => running({ ...base(i), job_id: `batch-running-${i}` }))
  const finished = Array.from({ length: FINISHED }, (_, i) =>
    running({
      ...base(RUNNING + i),
      job_id: `batch-finished-${i}`,
      status: i % 20 ? 'completed' : 'failed',
      lanes: [],
      finished_at: BigInt(now - i * 10_000),
      read_rows: 500_000n,
      processed_rows: 500_000n,
      written_rows: 500_000n,
    }),
  )
  return { finished, active }
}

/** Until `signal` aborts: what the scorers of the running jobs would report. */
async function report(producer: RecordProducer, jobs: readonly JobSnapshot[], signal: AbortSignal): Promise<void> {
  for (let rows = 1_000n; !signal.aborted; rows += 1_000n) {
    await producer.send(
      jobs.map(({ job_id, tenant_id }) => ledgerRecord(entry({ job_id, tenant_id, stage: 'score', lane: 0, rows }))),
    )
    await new Promise((resume) => setTimeout(resume, 250))
  }
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Rolls to the end of the list, and gives how many jobs that are. */
async function scrollToEnd(page: Page): Promise<number> {
  await page.mouse.move(600, 500)
  let rows = 0
  for (let same = 0; same < 20; ) {
    await page.mouse.wheel(0, 6_000)
    await page.waitForTimeout(60)
    const now = Number(await page.locator('.virtual').getAttribute('aria-rowcount'))
    const atEnd = await page.evaluate(
      '(box => box.scrollTop + box.clientHeight >= box.scrollHeight - 2)(document.querySelector(".virtual"))',
    )
    same = now === rows && atEnd ? same + 1 : 0
    rows = now
  }
  return rows - 1
}

/** What keeps a page from answering at once. */
const LONG_MS = 50

function taskReport(tasks: readonly Task[]): string {
  const of = (what: keyof Task): string => {
    const values = tasks.map((task) => task[what])
    return `${values.filter((ms) => ms > LONG_MS).length} over ${LONG_MS} ms, the longest ${Math.round(Math.max(0, ...values))} ms`
  }
  return `${tasks.length} tasks: ${of('cpuMs')} of CPU; by the clock ${of('wallMs')}`
}

export async function benchManyJobs(watchedS: number): Promise<void> {
  const dataDir = await temporaryDataDir('bench-dashboard')
  const kafka = await startKafka({ port: await freePort(), dataDir: join(dataDir.path, 'kafka') })
  const postgres = await startPostgres({ port: await freePort(), dataDir: join(dataDir.path, 'postgres') })
  const client = createKafkaClient(
    { brokers: [kafka.brokers], topicPrefix: 'inference.', sessionTimeoutMs: 10_000 },
    'bench',
    pino({ level: 'silent' }),
  )
  await ensureTopics(client, 1)
  const producer = await openProducer(client)
  const { finished, active } = snapshots()
  const records = [...finished, ...active].map(jobRecord)
  while (records.length) await producer.send(records.splice(0, 500))

  const port = await freePort()
  const api = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), 'api'], {
    env: {
      ...process.env,
      KAFKA_BROKERS: kafka.brokers,
      DATABASE_URL: postgres.url,
      DATA_DIR: dataDir.path,
      PORT: String(port),
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(api, 'message')
  const pid = api.pid as number
  const browser = await launchBrowser()
  const stop = new AbortController()
  const reporting = report(producer, active, stop.signal)
  try {
    const context = await browser.newContext({ baseURL: `http://127.0.0.1:${port}`, locale: 'en-US' })
    const page = await context.newPage()
    const begun = performance.now()
    await page.goto('/')
    await page.locator('.rows .job-row').first().waitFor()
    console.log(`first page: ${Math.round(performance.now() - begun)} ms`)
    const before = residentMb(pid)
    let rows = 0
    const tasks = await tasksDuring(page, async () => {
      rows = await scrollToEnd(page)
    })
    console.log(`scrolled ${rows} jobs, ${taskReport(tasks)}`)
    const scrolled = residentMb(pid)
    await page.waitForTimeout(watchedS * 1_000)
    console.log(
      `API memory: ${before.toFixed(0)} MB, ${scrolled.toFixed(0)} MB after all pages, ${residentMb(pid).toFixed(0)} MB ${watchedS} s later`,
    )
  } finally {
    stop.abort()
    await reporting
    await browser.close()
    api.kill('SIGTERM')
    await once(api, 'exit')
    await producer.close()
    await Promise.all([kafka.stop(), postgres.stop()])
    await dataDir.remove()
  }
}

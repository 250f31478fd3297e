// Runs a peer on a job: a Python process, what it says, and what it and Postgres cost meanwhile.
import { spawn } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Process, processCosts, processesBelow } from '../process-costs.ts'
import { jdbcDriver, peerPackages } from './packages.ts'

export const PEERS = ['script', 'daft', 'spark', 'ray'] as const
export type Peer = (typeof PEERS)[number]

/** What job.py reads. */
export interface PeerJob {
  readonly url: string
  readonly query: string
  readonly key: string
  readonly model: string
  readonly features: readonly string[] | null
  readonly columns: Readonly<Record<string, string>>
  readonly destination: 'parquet' | 'table'
  readonly path: string
  readonly table: string
  readonly batch_rows: number | null
}

export interface PeerRun {
  /** From when the engine was up until the result was there. */
  readonly seconds: number
  readonly startupSeconds: number
  /** Of the peer's processes and of Postgres, during those seconds. */
  readonly cpu: Readonly<Record<'peer' | 'postgres', number>>
  /** The peaks of all its processes together, so what they share counts more than once. */
  readonly peakMegabytes: number
}

/** Processes that ended meanwhile count with what they had at the last look. */
const LOOK_MS = 500

/** Throws with the end of its error output when it fails, or takes longer than `timeoutMs`. */
export async function runPeer(peer: Peer, job: PeerJob, scratch: string, timeoutMs = 600_000): Promise<PeerRun> {
  await mkdir(scratch, { recursive: true })
  const given = { ...job, scratch, jdbc_jar: await jdbcDriver(), spawned_at: Date.now() / 1000 }
  const child = spawn('python3', [join(import.meta.dirname, `with_${peer}.py`), JSON.stringify(given)], {
    env: {
      ...process.env,
      // The workers of Ray, Spark and Daft import job.py, too.
      PYTHONPATH: `${await peerPackages()}:${import.meta.dirname}`,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONWARNINGS: 'ignore',
      RAY_USAGE_STATS_ENABLED: '0',
      DAFT_ANALYTICS_ENABLED: '0',
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let errors = ''
  child.stderr.on('data', (data) => {
    errors = (errors + data).slice(-8_000)
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const overdue = setTimeout(() => child.kill('SIGKILL'), timeoutMs)

  const seen = new Map<number, Process>()
  async function look(): Promise<Cost> {
    const [own, servers] = await Promise.all([processesBelow([child.pid as number]), processCosts([process.pid])])
    for (const one of own) seen.set(one.pid, one)
    return {
      peer: sum([...seen.values()].map(({ cpuSeconds }) => cpuSeconds)),
      postgres: servers.postgres?.cpuSeconds ?? 0,
    }
  }
  const looking = setInterval(() => void look(), LOOK_MS)

  let startupSeconds = 0
  let before: Cost | undefined
  let run: PeerRun | undefined
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith('{')) continue
      const said = JSON.parse(line)
      const cost = await look()
      if ('startup_seconds' in said) {
        startupSeconds = said.startup_seconds
        before = cost
      } else if (before) {
        const { seconds } = said
        const cpu = { peer: cost.peer - before.peer, postgres: cost.postgres - before.postgres }
        run = { seconds, startupSeconds, cpu, peakMegabytes: sum([...seen.values()].map((one) => one.peakMegabytes)) }
        child.stdin.end()
      }
    }
    const code = await ended
    if (!run) throw new Error(`${peer}: ended with ${code} and no result\n${errors}`)
    return run
  } finally {
    clearInterval(looking)
    clearTimeout(overdue)
    child.kill('SIGKILL')
    await rm(scratch, { recursive: true, force: true })
  }
}

type Cost = PeerRun['cpu']

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

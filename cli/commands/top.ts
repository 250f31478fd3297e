// scoreline top: the unfinished jobs and the workers, redrawn every second on a terminal, printed once in a pipe.
import type { Command } from 'commander'
import type { JobStatusBody } from '../../src/job/job-status.ts'
import { JOBS } from '../client.ts'
import { type CliContext, contextOf } from '../context.ts'
import { examples } from '../examples.ts'
import { bytes, duration, print, printJson, table, target } from '../show.ts'

const REFRESH_MS = 1_000
/** Clear the screen and go home. Source: ECMA-48. */
const CLEAR = '\x1b[H\x1b[2J'

interface Worker {
  readonly worker_id: string
  readonly role: string
  readonly pool: string
  readonly host: string
  readonly pid: number
  readonly rss_bytes: number
  readonly busy_share: number
  readonly rows_per_second: number
  readonly lost: boolean
}

interface Seen {
  readonly jobs: readonly JobStatusBody[]
  readonly workers: readonly Worker[]
}

const OPEN = ['submitted', 'preparing', 'running', 'completing']

export function topCommand(program: Command): void {
  program
    .command('top')
    .description('watch the unfinished jobs and the workers')
    .addHelpText('after', examples('scoreline top', 'scoreline top --json'))
    .action(async (_flags: object, command: Command) => {
      const context = contextOf(command)
      if (context.json) return printJson(await look(context))
      if (!process.stdout.isTTY) return print(screen(await look(context), Date.now()))
      for (;;) {
        const seen = await look(context)
        print(`${CLEAR}${screen(seen, Date.now())}\n\nCtrl-C ends it`)
        await new Promise((resume) => setTimeout(resume, REFRESH_MS))
      }
    })
}

async function look({ client }: CliContext): Promise<Seen> {
  const search = new URLSearchParams({ limit: '50', status: OPEN.join(',') })
  const [jobs, workers] = await Promise.all([
    client.json<{ data: JobStatusBody[] }>('GET', `${JOBS}?${search}`),
    client.json<{ data: Worker[] }>('GET', '/api/v1/workers'),
  ])
  return { jobs: jobs.data, workers: workers.data }
}

function screen({ jobs, workers }: Seen, now: number): string {
  const left = ({ estimated_completion }: JobStatusBody) =>
    estimated_completion ? duration(Math.max(0, Date.parse(estimated_completion) - now)) : null
  return [
    jobs.length
      ? table(
          ['job', 'status', 'model', 'output', '%', 'rows/s', 'left'],
          jobs.map((job) => [
            job.job_id,
            job.status,
            job.model_id,
            job.outputs.map(({ output }) => target(output)).join(', '),
            job.progress.percentage,
            job.progress.rows_per_second,
            left(job),
          ]),
        )
      : 'no unfinished jobs',
    '',
    table(
      ['role', 'pool', 'host', 'pid', 'busy', 'rows/s', 'memory', ''],
      workers.map(({ role, pool, host, pid, busy_share, rows_per_second, rss_bytes, lost }) => [
        role,
        pool || null,
        host,
        String(pid),
        `${Math.round(busy_share * 100)} %`,
        Math.round(rows_per_second),
        bytes(rss_bytes),
        lost ? 'lost' : '',
      ]),
    ),
  ].join('\n')
}

// Follows a job over server-sent events: one line for each change of state, and a progress bar while it runs (redrawn in
// place on a terminal, a line now and then in a log).

export interface JobStatus {
  readonly status: string
  readonly progress: { total_rows: number; processed_rows: number; percentage: number; rows_per_second: number }
  readonly started_at: string | null
  readonly finished_at: string | null
  readonly estimated_completion: string | null
  readonly error: { code: string; message: string } | null
}

const BAR_WIDTH = 30

/** Resolves with the job's final status. */
export async function followJob(url: string, jobId: string, signal: AbortSignal): Promise<JobStatus> {
  const response = await fetch(`${url}/api/v1/inference/batch/${jobId}/events`, { signal })
  if (!response.ok || !response.body) throw new Error(`following job ${jobId}: ${response.status}`)
  let last: JobStatus | undefined
  let shown = ''
  for await (const job of events(response.body)) {
    last = job
    if (job.status !== shown) {
      shown = job.status
      line(`  ${new Date().toISOString().slice(11, 23)}  ${job.status}`)
    }
    if (job.status === 'running' || job.status === 'completing') draw(job)
  }
  if (!last) throw new Error(`job ${jobId} told nothing`)
  return last
}

async function* events(body: ReadableStream<Uint8Array>): AsyncIterable<JobStatus> {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block.split('\n').find((part) => part.startsWith('data: '))
      if (data) yield JSON.parse(data.slice('data: '.length)) as JobStatus
    }
  }
}

function draw({ progress, estimated_completion }: JobStatus): void {
  const filled = Math.round((progress.percentage / 100) * BAR_WIDTH)
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
  const eta = estimated_completion
    ? `${Math.max(0, (Date.parse(estimated_completion) - Date.now()) / 1000).toFixed(1)} s left`
    : ''
  const text = `  ${bar} ${String(progress.percentage).padStart(3)} %  ${progress.processed_rows.toLocaleString('en')} rows  ${progress.rows_per_second.toLocaleString('en')} rows/s  ${eta}`
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`)
  else console.log(text)
}

function line(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}\n`)
  else console.log(text)
}

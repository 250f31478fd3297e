// scoreline results, errors: what a job made, and the rows that it could not score.
import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { downloadAll } from '../download.ts'
import { examples } from '../examples.ts'
import { bytes, count, print, printJson, table } from '../show.ts'
import { jobPath } from './jobs.ts'

interface ResultFile {
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
  readonly url: string
}

interface Result {
  readonly destination: string
  readonly location: string
  readonly rows: number
  readonly bytes: number
  readonly files?: readonly ResultFile[]
  readonly query?: string
  readonly command?: string
}

interface FailedRow {
  readonly id: string
  readonly key: string | null
  readonly reason: string
  readonly input: Readonly<Record<string, string | null>>
}

export function resultCommands(program: Command): void {
  program
    .command('results <job_id>')
    .description('show what a completed job wrote, and how to read it')
    .option('--download <dir>', 'fetch its files into this directory, and check their SHA-256')
    .addHelpText('after', examples('scoreline results batch-…', 'scoreline results batch-… --download ./churn-scores'))
    .action(async (jobId: string, { download }: { download?: string }, command: Command) => {
      const { client, json } = contextOf(command)
      const { results } = await client.json<{ results: readonly Result[] }>('GET', `${jobPath(jobId)}/results`)
      const files = results.flatMap((result) => result.files ?? [])
      const saved = download === undefined ? [] : await downloadAll(client, files, download)
      if (json) printJson({ job_id: jobId, results, ...(download === undefined ? {} : { downloaded: saved }) })
      else print([...results.map(resultText), ...saved.map((path) => `saved ${path}`)].join('\n'))
    })

  const errors = program
    .command('errors <job_id>')
    .description('list the rows that could not be scored, with their reasons')
    .option('--redrive', 'submit a job over just those rows')
    .addHelpText('after', examples('scoreline errors batch-…', 'scoreline errors batch-… --redrive'))
  errors.action(async (jobId: string, { redrive }: { redrive?: boolean }, command: Command) => {
    const { client, json } = contextOf(command)
    const path = `${jobPath(jobId)}/errors`
    if (redrive) {
      const submitted = await client.json<{ job_id: string }>('POST', `${path}/redrive`, {})
      return json ? printJson(submitted) : print(submitted.job_id)
    }
    const { data, has_more } = await client.json<{ data: readonly FailedRow[]; has_more: boolean }>('GET', path)
    if (json) return printJson({ data, has_more })
    if (!data.length) return print('no failed rows')
    print(
      table(
        ['key', 'reason', 'input'],
        data.map(({ key, reason, input }) => [key, reason, JSON.stringify(input)]),
      ),
    )
    if (has_more) print('there are more: --json and the API page through them')
  })
}

function resultText({ destination, location, rows, bytes: size, files, query, command }: Result): string {
  const lines = [`${destination} ${location}: ${count(rows)} rows${size ? `, ${bytes(size)}` : ''}`]
  if (files?.length)
    lines.push(
      table(
        ['file', 'rows', 'size', 'sha256'],
        files.map((file) => [file.name, file.rows, bytes(file.bytes), file.sha256.slice(0, 12)]),
      ),
    )
  if (query) lines.push(`read it with: ${query}`)
  if (command) lines.push(`read it with: ${command}`)
  return lines.join('\n')
}

// What the outputs of a completed job became, and how to read each: links to files, a query for a table, a command for a
// topic.
import Type, { type Static } from 'typebox'
import type { JobOutput, JobResult, JobSnapshot } from '../../../topics/jobs.ts'
import { sinkJob } from '../../job/sink-job.ts'
import type { ProcessContext } from '../../process.ts'
import { HttpProblem } from '../problem.ts'

const FileBody = Type.Object({
  name: Type.String(),
  rows: Type.Integer(),
  bytes: Type.Integer(),
  sha256: Type.String(),
  url: Type.String({ description: 'Relative to this API, or into the object store' }),
  expires_at: Type.Optional(Type.String({ description: 'Until then the link works; without it, always' })),
})

export const ResultBody = Type.Object(
  {
    destination: Type.String(),
    location: Type.String({ description: 'A qualified table name, the URL of a directory, a topic' }),
    rows: Type.Integer(),
    bytes: Type.Integer(),
    files: Type.Optional(Type.Array(FileBody)),
    schema: Type.Optional(Type.Array(Type.Object({ name: Type.String(), type: Type.String() }))),
    connection: Type.Optional(Type.String({ description: 'Of a table' })),
    query: Type.Optional(Type.String({ description: 'Of a table: SQL that reads it' })),
    format: Type.Optional(Type.String({ description: 'Of files and topics' })),
    command: Type.Optional(Type.String({ description: 'Of a topic: a kcat that reads it' })),
  },
  { title: 'Result' },
)

type ResultBody = Static<typeof ResultBody>

/** One entry for each output. Throws a 410 when files of the result are not there any more. */
export async function resultsOf(job: JobSnapshot, context: ProcessContext): Promise<ResultBody[]> {
  return Promise.all(
    job.outputs.map(async (output, i) => {
      const result = job.results[i]
      if (!result) throw new Error(`job ${job.job_id} is completed without a result of output ${i}`)
      return {
        destination: output.destination,
        location: result.location,
        rows: Number(result.rows),
        bytes: Number(result.bytes),
        ...(await howToRead(job, output, i, result, context)),
      }
    }),
  )
}

async function howToRead(
  job: JobSnapshot,
  output: JobOutput,
  i: number,
  { location }: JobResult,
  context: ProcessContext,
): Promise<Partial<ResultBody>> {
  const { config, connectors } = context
  if (output.destination === 'table')
    return { connection: output.connection ?? 'warehouse', query: `SELECT * FROM ${location}` }
  if (output.destination === 'kafka') {
    const value = output.format === 'avro' ? ` -s value=avro -r ${config.registryUrl}` : ''
    // A result of this job among those of others: the header tells them apart.
    const command = `kcat -C -b ${config.kafkaBrokers.join()} -t ${output.topic} -o beginning -e -X isolation.level=read_committed${value}`
    return { format: output.format ?? 'json', command }
  }
  const described = await connectors.sinkFor(output.destination)?.files?.describe(sinkJob(job, i))
  if (!described) {
    const detail = `the files of job ${job.job_id} in ${location} are not there any more: a later job has replaced them, or somebody removed them`
    throw new HttpProblem(410, 'result_gone', detail)
  }
  const links = described.files.map(({ link, ...file }) =>
    link
      ? { ...file, url: link.href, expires_at: new Date(link.expiresAt).toISOString() }
      : { ...file, url: `/api/v1/inference/batch/${job.job_id}/results/${i}/${encodeURIComponent(file.name)}` },
  )
  return { format: described.format, schema: [...described.schema], files: links }
}

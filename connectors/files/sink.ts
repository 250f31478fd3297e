// The sink for destinations `parquet` and `csv`: part files in a directory or under a prefix of a bucket, visible as a whole once `_SUCCESS` is there.
import type { Column } from '../../topics/columns.ts'
import type { JobOutput } from '../../topics/jobs.ts'
import { ConnectorError, type ConnectorSettings, type Problem, type Sink, type SinkJob } from '../connector.ts'
import { succeeded } from './carry-out.ts'
import { expireResult } from './expire.ts'
import { fileStores } from './file-stores.ts'
import { discardAttempt, publishResult } from './finalise.ts'
import { FileLaneWriter } from './lane-writer.ts'
import { locate } from './location.ts'
import { manifestProblem, notEmpty, readManifest, resultOf } from './manifest.ts'
import { partPlan } from './part-plan.ts'
import { describeResult, resultPath } from './result-files.ts'
import { listStaging, putPlan, readLane, readPlan } from './staging.ts'
import type { FileStore, OpenStore } from './store.ts'

export function createFilesSink(settings: ConnectorSettings, given?: OpenStore): Sink {
  const stores = fileStores(settings)
  const openStore = given ?? stores.open
  const storeOf = async (output: JobOutput) => openStore(await directoryOf(output, settings.outputRoots))
  const oneAtATime = exclusion()
  return {
    destinations: ['parquet', 'csv'],
    files: {
      describe: async (job) => describeResult(await storeOf(job.output), job),
      pathOf: async (job, name) => resultPath(await storeOf(job.output), job, name),
    },

    async check(output, columns) {
      const problems = [...modeProblems(output), ...columnProblems(output, columns)]
      const located = await locate(output.path, settings.outputRoots)
      if ('problem' in located) return [...problems, located.problem]
      const store = await openStore(located.directory)
      const place = async () => {
        await store.requireWritable()
        return resultProblems(store, output, columns)
      }
      return [...problems, ...(await place().catch(asProblems))]
    },

    async prepare(job) {
      const store = await storeOf(job.output)
      await refuseConflict(store, job)
      await putPlan(store, job, partPlan(job.chunkRows, job.columns, job.output))
    },

    async openLane(job, lane) {
      const store = await storeOf(job.output)
      const plan = await readPlan(store, job)
      const { position } = await readLane(store, job, lane, await listStaging(store, job))
      return new FileLaneWriter(store, job, lane, plan, position)
    },

    async finalise(job, rows) {
      const store = await storeOf(job.output)
      return oneAtATime(store.location, async () => {
        await refuseConflict(store, job)
        return publishResult(store, job, rows)
      })
    },

    async discard(job) {
      const store = await storeOf(job.output)
      await oneAtATime(store.location, () => discardAttempt(store, job))
    },

    async expire(job) {
      const store = await storeOf(job.output)
      await oneAtATime(store.location, () => expireResult(store, job))
    },

    close: () => stores.close(),
  }
}

async function directoryOf(output: JobOutput, roots: readonly string[]): Promise<string> {
  const located = await locate(output.path, roots)
  if ('directory' in located) return located.directory
  throw new ConnectorError(located.problem.code, located.problem.detail, { retriable: false })
}

function modeProblems(output: JobOutput): Problem[] {
  if (output.mode !== 'upsert') return []
  const detail = 'expected overwrite, append or error: files cannot be merged row by row; upsert needs a table'
  return [{ code: 'mode_not_supported', pointer: '/output/mode', detail }]
}

function columnProblems(output: JobOutput, columns: readonly Column[]): Problem[] {
  const names = columns.map((column) => column.name)
  const twice = names.filter((name, i) => names.indexOf(name) !== i)
  const problem = (code: string, detail: string): Problem => ({ code, pointer: '/output/columns', detail })
  if (columns.length === 0) return [problem('no_columns', 'expected at least one column, got none')]
  if (output.destination !== 'parquet') return []
  return [
    ...twice.map((name) => problem('duplicate_column', `column ${name} is there twice; give each a name of its own`)),
    ...columns
      .filter((column) => column.kind === 'decimal' && (column.precision ?? 38) < (column.scale ?? 0))
      .map(({ name }) => problem('column_not_supported', `column ${name}: Parquet needs precision >= scale; cast it`)),
  ]
}

/** Whether what is in the directory now leaves room for the result. */
async function resultProblems(store: FileStore, output: JobOutput, columns: readonly Column[]): Promise<Problem[]> {
  const manifest = await readManifest(store)
  const problem = manifest && manifestProblem(store.location, manifest, output, columns)
  if (problem !== null) return [problem]
  return output.mode === 'error' && (await succeeded(store)) ? [notEmpty(store.location)] : []
}

/** What is wrong with the directory for good is the user's to know; a disk that does not answer is not. */
function asProblems(error: unknown): Problem[] {
  if (!(error instanceof ConnectorError) || error.retriable) throw error
  return [{ code: error.code, pointer: '/output/path', detail: error.message }]
}

/** The directory may have changed since the check; a run of this very attempt that crashed is no conflict. */
async function refuseConflict(store: FileStore, job: SinkJob): Promise<void> {
  if (resultOf(await readManifest(store), job) !== undefined) return
  const [problem] = [...modeProblems(job.output), ...(await resultProblems(store, job.output, job.columns))]
  if (problem !== undefined) throw new ConnectorError(problem.code, problem.detail, { retriable: false })
}

/**
 * Runs the work on each directory one after the other, so that of two results only one at a time is without `_SUCCESS`.
 * Between processes the manifest is safe too (`updateManifest`); but a reader may see there that one job declares the
 * directory while another is still publishing its parts.
 */
function exclusion(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()
  return (key, work) => {
    const next = (last.get(key) ?? Promise.resolve()).then(work, work)
    last.set(key, next)
    const forget = () => {
      if (last.get(key) === next) last.delete(key)
    }
    next.then(forget, forget)
    return next
  }
}

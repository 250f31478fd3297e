// Loaded before a role (`node --import`): file results under a directory named `null` are counted and thrown away. What
// a job takes to there is what it takes without a destination.
import { LANE_START, type LanePosition, type LaneWriter, type Sink } from '../connectors/connector.ts'
import { createFilesSink } from '../connectors/files/sink.ts'
import { SINKS } from '../connectors/index.ts'

const NULL = /^null\b/

SINKS[SINKS.indexOf(createFilesSink)] = (settings): Sink => {
  const files = createFilesSink(settings)
  const nothing = ({ path }: { readonly path: string | null }) => path !== null && NULL.test(path)
  return {
    ...files,
    prepare: async (job) => (nothing(job.output) ? undefined : files.prepare(job)),
    openLane: async (job, lane) => (nothing(job.output) ? countingWriter() : files.openLane(job, lane)),
    finalise: async (job, rows) =>
      nothing(job.output) ? { rows, bytes: 0n, location: 'null' } : files.finalise(job, rows),
    discard: async (job) => (nothing(job.output) ? undefined : files.discard(job)),
    expire: async (job) => (nothing(job.output) ? undefined : files.expire(job)),
  }
}

function countingWriter(): LaneWriter {
  let position: LanePosition = LANE_START
  return {
    get position() {
      return position
    },
    write: async (chunks) => {
      const rows = chunks.reduce((sum, { batch }) => sum + batch.rows, 0)
      position = { ...position, chunks: position.chunks + chunks.length, rows: position.rows + BigInt(rows) }
      return position
    },
    end: async () => {
      position = { ...position, done: true }
      return position
    },
    close: async () => {},
  }
}

// A job's snapshot in bytes: the Avro schema of jobs.v1, which is public, and its codec.
//
// A further field needs a `default` (processes and readers of other versions go on beside this one), and one that may get
// more words is no Avro enum but `wordOf`. Then `npm run schemas`, and commit what it records.
import { avroCodec, type Codec, optional, wordOf } from './avro.ts'
import { COLUMN_KINDS, type Column } from './columns.ts'
import { DESTINATIONS, JOB_STATUSES, type JobSnapshot, WRITE_MODES } from './jobs.ts'

const column = {
  type: 'record',
  name: 'Column',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'kind', ...wordOf(COLUMN_KINDS) },
    { name: 'precision', type: optional('int'), default: null },
    { name: 'scale', type: optional('int'), default: null },
    { name: 'length', type: optional('int'), default: null },
    { name: 'sqlType', type: optional('string'), default: null },
  ],
}

const plan = {
  type: 'record',
  name: 'JobPlan',
  fields: [
    { name: 'model_sha256', type: 'string' },
    { name: 'query_columns', type: { type: 'array', items: column } },
    { name: 'scored_columns', type: { type: 'array', items: 'Column' } },
    { name: 'output_columns', type: { type: 'array', items: { type: 'array', items: 'Column' } } },
    { name: 'total_rows', type: 'long' },
    { name: 'rows_estimated', type: 'boolean' },
  ],
}

const webhook = {
  type: 'record',
  name: 'JobWebhook',
  fields: [
    { name: 'url', type: 'string' },
    { name: 'events', type: { type: 'array', items: 'string' } },
    { name: 'state', type: 'string' },
    { name: 'attempts', type: 'int' },
    { name: 'last_attempt_at', type: optional('long'), default: null },
    { name: 'next_attempt_at', type: optional('long'), default: null },
    { name: 'last_error', type: optional('string'), default: null },
  ],
}

const waitFields = [
  { name: 'code', type: 'string' },
  { name: 'message', type: 'string' },
  { name: 'since', type: 'long' },
]

export const jobSchema = {
  type: 'record',
  name: 'JobSnapshot',
  namespace: 'scoreline',
  fields: [
    { name: 'job_id', type: 'string' },
    { name: 'tenant_id', type: 'string' },
    { name: 'schedule_id', type: optional('string'), default: null },
    { name: 'status', type: { type: 'enum', name: 'JobStatus', symbols: JOB_STATUSES } },
    { name: 'model_id', type: 'string' },
    { name: 'model_version', type: optional('int'), default: null },
    {
      name: 'input',
      type: {
        type: 'record',
        name: 'JobInput',
        fields: [
          { name: 'source', type: 'string' },
          { name: 'query', type: 'string' },
          { name: 'connection', type: 'string' },
          { name: 'key_column', type: optional('string'), default: null },
        ],
      },
    },
    {
      name: 'outputs',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'JobOutput',
          fields: [
            { name: 'destination', ...wordOf(DESTINATIONS) },
            { name: 'connection', type: optional('string'), default: null },
            { name: 'table_name', type: optional('string'), default: null },
            { name: 'path', type: optional('string'), default: null },
            { name: 'topic', type: optional('string'), default: null },
            { name: 'format', type: optional('string'), default: null },
            { name: 'mode', ...wordOf(WRITE_MODES) },
            { name: 'columns', type: ['null', { type: 'array', items: 'string' }], default: null },
            { name: 'key_columns', type: ['null', { type: 'array', items: 'string' }], default: null },
            { name: 'compression', type: optional('string'), default: null },
            { name: 'target_file_mb', type: optional('int'), default: null },
            { name: 'formula_guard', type: optional('boolean'), default: null },
          ],
        },
      },
    },
    {
      name: 'config',
      type: {
        type: 'record',
        name: 'JobConfig',
        fields: [
          { name: 'batch_size', type: 'int' },
          { name: 'parallelism', type: 'int' },
          { name: 'max_memory_gb', type: 'double' },
          { name: 'timeout_minutes', type: 'double' },
          { name: 'retry_count', type: 'int' },
          { name: 'accelerator', type: 'string' },
          { name: 'max_failed_rows', type: 'int' },
        ],
      },
    },
    { name: 'request_hash', type: 'string' },
    { name: 'plan', type: ['null', plan], default: null },
    { name: 'lanes', type: { type: 'array', items: 'int' } },
    { name: 'pool', type: 'string' },
    {
      name: 'waiting_for',
      type: [
        'null',
        {
          type: 'record',
          name: 'JobWait',
          fields: waitFields,
        },
      ],
      default: null,
    },
    {
      name: 'past_waits',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'JobPastWait',
          fields: [...waitFields, { name: 'until', type: 'long' }],
        },
      },
      default: [],
    },
    {
      name: 'history',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'JobMoment',
          fields: [
            { name: 'status', ...wordOf(JOB_STATUSES) },
            { name: 'attempt', type: 'int' },
            { name: 'at', type: 'long' },
          ],
        },
      },
      default: [],
    },
    { name: 'attempt', type: 'int' },
    {
      name: 'failed_attempts',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'FailedAttempt',
          fields: [
            { name: 'attempt', type: 'int' },
            { name: 'code', type: 'string' },
            { name: 'message', type: 'string' },
            { name: 'at', type: 'long' },
          ],
        },
      },
    },
    { name: 'prepared_attempt', type: 'int' },
    { name: 'submitted_at', type: 'long' },
    { name: 'started_at', type: optional('long'), default: null },
    { name: 'finished_at', type: optional('long'), default: null },
    { name: 'read_rows', type: 'long' },
    { name: 'processed_rows', type: 'long' },
    { name: 'written_rows', type: 'long' },
    { name: 'failed_rows', type: 'long' },
    { name: 'output_rows', type: { type: 'array', items: 'long' } },
    {
      name: 'results',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'JobResult',
          fields: [
            { name: 'location', type: 'string' },
            { name: 'rows', type: 'long' },
            { name: 'bytes', type: 'long' },
          ],
        },
      },
    },
    {
      name: 'error',
      type: [
        'null',
        {
          type: 'record',
          name: 'JobError',
          fields: [
            { name: 'code', type: 'string' },
            { name: 'message', type: 'string' },
          ],
        },
      ],
      default: null,
    },
    { name: 'webhook', type: ['null', webhook], default: null },
  ],
}

const codec = avroCodec<JobSnapshot>(jobSchema as never)

export const jobCodec: Codec<JobSnapshot> = {
  ...codec,
  decode: (bytes) => {
    const job = codec.decode(bytes)
    const { plan } = job
    return plan
      ? {
          ...job,
          plan: {
            ...plan,
            query_columns: plan.query_columns.map(bare),
            scored_columns: plan.scored_columns.map(bare),
            output_columns: plan.output_columns.map((columns) => columns.map(bare)),
          },
        }
      : { ...job }
  },
}

/** A column without the fields that Avro says are null. */
function bare(column: Column): Column {
  return Object.fromEntries(Object.entries(column).filter(([, value]) => value !== null)) as unknown as Column
}

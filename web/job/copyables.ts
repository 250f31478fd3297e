// A job's request as one would send it: by curl, as a Kafka record, by the command line. Pure.

export interface Place {
  /** Of this API, e.g. http://127.0.0.1:8080 */
  readonly origin: string
  /** Whether it wants an API key. */
  readonly guarded: boolean
}

/** For a POSIX shell: in single quotes, with those inside escaped. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

export function curlLine(body: object, { origin, guarded }: Place): string {
  const key = guarded ? ` \\\n  -H "authorization: Bearer $SCORELINE_API_KEY"` : ''
  return `curl -X POST ${quoted(`${origin}/api/v1/inference/batch`)} \\\n  -H 'content-type: application/json'${key} \\\n  -d ${quoted(JSON.stringify(body, null, 2))}`
}

/** The value of a record on the commands topic; its key is the tenant. */
export function kafkaRecord(body: object): string {
  const record = { type: 'submit', tenant_id: 'default', idempotency_key: crypto.randomUUID(), job: body }
  return JSON.stringify(record, null, 2)
}

export function cliLine(body: object, { origin }: Place): string {
  return `SCORELINE_URL=${origin} npx scoreline submit --wait - <<'JOB'\n${JSON.stringify(body, null, 2)}\nJOB`
}

// The command line's REST client: answers as JSON, problems as errors with an exit code, live events one by one.
import type { JobStatusBody } from '../src/job/job-status.ts'

/** What a command ends with, for scripts. */
export const EXIT = { ok: 0, failed: 1, usage: 2, cancelled: 3, unreachable: 4 } as const

/** Ends the program with a message and an exit code. */
export class CliError extends Error {
  readonly exitCode: number

  constructor(exitCode: number, message: string) {
    super(message)
    this.exitCode = exitCode
  }
}

export interface Client {
  /** Throws `CliError`: `unreachable` when no answer comes, `usage` when the service refuses the request. */
  json<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T>
  /** The answer itself, for downloads. `path` may be a URL of another host (a presigned link); it then gets no key. */
  open(path: string): Promise<Response>
  /**
   * A job's states as they come, the last one when it is finished. A lost connection is taken up again; gives up with
   * `unreachable` when the service stays away.
   */
  follow(jobId: string, signal?: AbortSignal): AsyncIterable<JobStatusBody>
}

/** How long a service that went away is waited for while a job is followed. */
const PATIENCE_MS = 60_000
const RETRY_MS = 500

export function createClient(baseUrl: string, apiKey: string | undefined): Client {
  const authorization: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {}

  async function send(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const url = new URL(path, baseUrl)
    const own = url.origin === new URL(baseUrl).origin
    try {
      return await fetch(url, { ...init, headers: { ...(own ? authorization : {}), ...init.headers } })
    } catch (error) {
      if (init.signal?.aborted) throw error
      const reason = (error as Error & { cause?: Error }).cause?.message ?? (error as Error).message
      throw new CliError(
        EXIT.unreachable,
        `no answer from ${baseUrl}: ${reason}. Is the service running? Set SCORELINE_URL or --url to its address`,
      )
    }
  }

  async function* follow(jobId: string, signal?: AbortSignal): AsyncIterable<JobStatusBody> {
    let lastId: string | undefined
    let heardAt = Date.now()
    for (;;) {
      try {
        const response = await accepted(
          await send(`${JOBS}/${encodeURIComponent(jobId)}/events`, {
            headers: lastId === undefined ? {} : { 'last-event-id': lastId },
            ...(signal ? { signal } : {}),
          }),
        )
        // What was the last to come was the end.
        if (response.status === 204) return
        for await (const { id, event, data } of serverSentEvents(response)) {
          // The key is none any more; the next request is told why.
          if (event === 'unauthorized') break
          lastId = id ?? lastId
          heardAt = Date.now()
          const job = JSON.parse(data) as JobStatusBody
          yield job
          if (job.finished_at !== null) return
        }
      } catch (error) {
        if (signal?.aborted) throw error
        if (error instanceof CliError && error.exitCode !== EXIT.unreachable) throw error
        if (Date.now() - heardAt > PATIENCE_MS) throw unreachable(error)
      }
      await new Promise((resume) => setTimeout(resume, RETRY_MS))
    }
  }

  return {
    json: async (method, path, body, headers = {}) => {
      const bytes = body instanceof Uint8Array
      const type = body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' }
      const response = await accepted(
        await send(path, {
          method,
          headers: { ...type, ...headers },
          ...(body === undefined ? {} : { body: bytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
        }),
      )
      const text = await response.text()
      return (text ? JSON.parse(text) : null) as never
    },
    open: async (path) => accepted(await send(path)),
    follow,
  }
}

export const JOBS = '/api/v1/inference/batch'

interface ProblemAnswer {
  readonly title?: string
  readonly detail?: string
  readonly code?: string
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[]
}

/** The answer, unless it is a problem. */
async function accepted(response: Response): Promise<Response> {
  if (response.ok) return response
  const text = await response.text()
  let problem: ProblemAnswer
  try {
    problem = JSON.parse(text) as ProblemAnswer
  } catch {
    problem = { detail: text.slice(0, 200) }
  }
  const fields = (problem.errors ?? []).map(({ pointer, detail }) => `\n  ${pointer}: ${detail}`).join('')
  const what = problem.detail ?? problem.title ?? response.statusText
  const message = `${what} (${problem.code ?? response.status})${fields}`
  throw new CliError(response.status >= 500 ? EXIT.unreachable : EXIT.usage, message)
}

function unreachable(cause: unknown): CliError {
  return cause instanceof CliError ? cause : new CliError(EXIT.unreachable, (cause as Error).message)
}

interface ServerSentEvent {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string
}

/** The events of a stream. Source: WHATWG HTML, "Server-sent events". */
export async function* serverSentEvents(response: Response): AsyncIterable<ServerSentEvent> {
  let rest = ''
  const text = response.body?.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
  for await (const part of text ?? []) {
    const blocks = (rest + part).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const lines = block.split('\n')
      const valuesOf = (name: string) =>
        lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2))
      const data = valuesOf('data')
      if (data.length) yield { id: valuesOf('id').at(-1), event: valuesOf('event').at(-1), data: data.join('\n') }
    }
  }
}

// Talks to the REST API: the key, problems as errors, and whether the service can be reached.
import { createStore } from './store.ts'

const KEY = 'scoreline.api-key'

/** What the page knows of its access: `asked` when the API wants a key, or another one. */
export const access = createStore<{ key: string | null; asked: boolean; reason: string | null }>({
  key: sessionStorage.getItem(KEY),
  asked: false,
  reason: null,
})

export function signIn(key: string): void {
  sessionStorage.setItem(KEY, key)
  access.set({ key, asked: false, reason: null })
}

export function signOut(): void {
  sessionStorage.removeItem(KEY)
  access.set({ key: null, asked: true, reason: null })
}

/** An answer other than success, as the API explains it (RFC 9457). Status 0: no answer at all. */
export class ApiProblem extends Error {
  readonly status: number
  readonly code: string
  readonly errors: readonly { pointer: string; detail: string; code: string }[]

  constructor(status: number, code: string, detail: string, errors: ApiProblem['errors'] = []) {
    super(detail)
    this.name = 'ApiProblem'
    this.status = status
    this.code = code
    this.errors = errors
  }
}

export interface RequestOptions {
  readonly method?: string
  /** JSON, or bytes as they are. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** The answer's JSON. Throws `ApiProblem`. */
export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(path, options)
  return (response.status === 204 ? null : await response.json()) as T
}

/** A successful answer. Throws `ApiProblem`. */
export async function send(path: string, { method, body, headers, signal }: RequestOptions = {}): Promise<Response> {
  const { key } = access.get()
  const bytes = body instanceof Blob
  const init: RequestInit = {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined || bytes ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: bytes ? body : JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  }
  const response = await fetch(path, init).catch((error: Error) => {
    if (signal?.aborted) throw error
    throw new ApiProblem(0, 'unreachable', 'the service cannot be reached')
  })
  if (response.ok) return response
  const problem = await problemOf(response)
  if (response.status === 401) {
    sessionStorage.removeItem(KEY)
    access.set({ key: null, asked: true, reason: key === null ? null : keyFault(problem) })
  }
  throw problem
}

/** What is wrong with a key, to somebody who has typed it. */
export function keyFault(problem: ApiProblem): string {
  return problem.code === 'unauthorized' ? 'The service does not know this key, or not any more.' : problem.message
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const body = (await response.json().catch(() => null)) as {
    code?: string
    detail?: string
    errors?: ApiProblem['errors']
  } | null
  const detail = body?.detail ?? `${response.status} ${response.statusText}`
  return new ApiProblem(response.status, body?.code ?? 'unexpected_answer', detail, body?.errors)
}

// Errors of the API as RFC 9457 problem details: a stable `code`, what was wrong, and for bad fields where.
import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import { ConnectorError, type Problem } from '../../connectors/connector.ts'
import { ModelError } from '../model/model.ts'

export const ProblemBody = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
    errors: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String(), code: Type.String() })),
    ),
  },
  { title: 'Problem', description: 'RFC 9457 problem details' },
)

/** An answer other than success. */
export class HttpProblem extends Error {
  readonly status: number
  readonly code: string
  readonly errors: readonly Problem[] | undefined

  constructor(status: number, code: string, detail: string, errors?: readonly Problem[]) {
    super(detail)
    this.name = 'HttpProblem'
    this.status = status
    this.code = code
    this.errors = errors
  }
}

/** Faults of a request. One fault lends its code to the whole; several are an `invalid_request`. */
export function invalidRequest(problems: readonly Problem[]): HttpProblem {
  const [first] = problems
  const only = problems.length === 1 && first ? first : null
  const detail = only ? only.detail : `${problems.length} things are wrong with the request; see errors`
  return new HttpProblem(
    problems.some(({ code }) => code === 'path_not_empty') ? 409 : 400,
    only?.code ?? 'invalid_request',
    detail,
    problems,
  )
}

export function notFound(what: string, advice: string): HttpProblem {
  return new HttpProblem(404, 'not_found', `there is no ${what}; ${advice}`)
}

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** What an error thrown anywhere in a request is answered with. */
export function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error
  if (error instanceof ConnectorError) return new HttpProblem(error.retriable ? 503 : 400, error.code, error.message)
  if (error instanceof ModelError)
    return new HttpProblem(error.code === 'model_store_unavailable' ? 503 : 400, error.code, error.message)
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message: string }
  // What fastify itself refuses: malformed JSON, a body too large, an unknown media type.
  if (statusCode !== undefined && statusCode < 500)
    return new HttpProblem(statusCode, (code ?? 'bad_request').replace(/^FST_ERR_/, '').toLowerCase(), message)
  return new HttpProblem(500, 'internal', 'something went wrong inside the service; its log says what')
}

export function sendProblem(reply: FastifyReply, { status, code, message, errors }: HttpProblem): FastifyReply {
  const title = TITLES[status] ?? 'Error'
  const body = {
    type: `urn:scoreline:problem:${code}`,
    title,
    status,
    code,
    detail: message,
    ...(errors ? { errors: errors.map(({ pointer, detail, code: own }) => ({ pointer, detail, code: own })) } : {}),
  }
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.status(status).type('application/problem+json').send(JSON.stringify(body))
}

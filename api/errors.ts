/**
 * What goes wrong, as HTTP. Every error that leaves the API has one shape, `{ error: { code, message, request_id } }`, and its
 * message says what to do. What only we can mend is logged under the request's id, and nothing of it is sent.
 */
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'

import { BillingError } from '../billing/billing-error.ts'
import { codeOf, isOutage } from '../db/errors.ts'
import type { Log } from '../runtime/log.ts'

/** `code` is snake_case and stable, for a program; `message` is for a person; `more` are the fields that some codes add. */
export type ApiError = {
  status: number
  code: string
  message: string
  field?: string | undefined
  more?: Record<string, unknown>
  headers?: Record<string, string>
}

/**
 * A refusal, thrown by a handler: answered with its status, and nothing of the request is done.
 *
 * Shape: `fields` of the error carry the status and what the answer adds.
 */
export function refusal(error: ApiError): BillingError {
  return new BillingError(error.code, error.message, { api: error })
}

/** Fastify answers with errors in its own shape wherever it is not told otherwise: here it is told, once for all routes. */
export function registerErrors(server: FastifyInstance, log: Log): void {
  server.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  server.setNotFoundHandler(async (_request, reply) => await sendError(reply, notFound))
  server.setErrorHandler(async (error, request, reply) => {
    const answer = errorOf(error, request)
    const { status, code } = answer
    const fields = { requestId: request.id, route: request.routeOptions.url, err: error }
    if (status < 500) log.debug({ ...fields, code }, 'a request was refused')
    else if (status === 503) log.warn(fields, 'a request has to come again: Postgres is away')
    else log.error(fields, 'a request failed')
    return await sendError(reply, answer)
  })
}

/** What a request that failed is answered with. */
export function errorOf(error: unknown, request: FastifyRequest): ApiError {
  const code = codeOf(error) ?? ''
  const refused = refusalIn(error)
  if (refused !== null) return refused
  if (hasZodFastifySchemaValidationErrors(error)) return validationError(error.validation)
  // A client that hangs up before its body is there gives the same error as a Postgres that does.
  if (request.raw.readableAborted) return malformedRequest
  return (
    refusalsByFastify[code] ?? refusalsByPostgres[code] ?? (isOutage(error) ? unavailable : internalError)
  )
}

export async function sendError(reply: FastifyReply, error: ApiError): Promise<FastifyReply> {
  return await reply
    .code(error.status)
    .headers(error.headers ?? {})
    .send(bodyOf(error, reply.request.id))
}

/** What a route refused, if that is what the error is. */
export function refusalIn(error: unknown): ApiError | null {
  if (!(error instanceof BillingError)) return null
  const api: unknown = error.fields['api']
  if (isApiError(api)) return api
  return statusOfCode[error.code] === undefined
    ? null
    : { status: statusOfCode[error.code] ?? 500, code: error.code, message: error.message }
}

function isApiError(value: unknown): value is ApiError {
  return (
    typeof value === 'object' && value !== null && 'status' in value && 'code' in value && 'message' in value
  )
}

/** Our own errors that mean something to a caller. */
const statusOfCode: Partial<Record<string, number>> = { wrong_scope: 403, malformed_money: 400 }

/** The first thing that is wrong, by its field. */
function validationError(
  issues: readonly { instancePath: string; message?: string | undefined }[],
): ApiError {
  const [issue] = issues
  const field = issue?.instancePath.replace(/^\//, '').replaceAll('/', '.') ?? ''
  return {
    status: 400,
    code: 'invalid_request',
    message: issue?.message ?? 'The request does not have the shape that this address reads.',
    field: field === '' ? undefined : field,
  }
}

/** What came was no request, or took too long to become one: nothing but the connection is there to answer on. */
export function answerBrokenRequest(error: Error, socket: Socket): void {
  if (codeOf(error) === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const requestId = newRequestId()
  const answer = brokenRequests[codeOf(error) ?? ''] ?? malformedRequest
  const body = JSON.stringify(bodyOf(answer, requestId))
  const head = [
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

export function newRequestId(): string {
  return `req_${randomUUID()}`
}

const tooLarge: ApiError = {
  status: 413,
  code: 'too_large',
  message: 'The body is larger than this address takes: send less at a time.',
}

export const malformedRequest: ApiError = {
  status: 400,
  code: 'malformed_request',
  message: 'This is not a whole HTTP request: check its first line, its headers and its length.',
}

/** By Fastify's codes; what it refuses besides would be our own mistake. */
const refusalsByFastify: Partial<Record<string, ApiError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: tooLarge,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: malformedRequest,
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    status: 415,
    code: 'unknown_content_type',
    message: 'The content type is not one that this address reads: send application/json.',
  },
}

/** By the SQLSTATE of text that Postgres cannot hold, wherever in the request it stood. */
const refusalsByPostgres: Partial<Record<string, ApiError>> = Object.fromEntries(
  ['22021', '22P05'].map((code) => [
    code,
    {
      status: 400,
      code: 'invalid_request',
      message: 'A text in the request has a NUL character in it: send it without.',
    },
  ]),
)

const notFound: ApiError = {
  status: 404,
  code: 'not_found',
  message: 'Nothing is at this address for this method: check both, and that the path ends without a slash.',
}

const unavailable: ApiError = {
  status: 503,
  code: 'unavailable',
  message: 'This cannot be done just now, and nothing of it was done: send the same again in a moment.',
}

const internalError: ApiError = {
  status: 500,
  code: 'internal_error',
  message:
    'Something is broken on our side, and nothing of this was done: quote the request id to whoever runs this.',
}

const brokenRequests: Partial<Record<string, ApiError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'too_slow',
    message: 'The request did not arrive in time: send it again, in one go.',
  },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'headers_too_large',
    message: 'The headers are larger than 16 KB together: send fewer or shorter ones.',
  },
}

function bodyOf({ code, message, field, more }: ApiError, requestId: string) {
  return {
    error: { code, message, ...(field === undefined ? {} : { field }), ...more, request_id: requestId },
  }
}

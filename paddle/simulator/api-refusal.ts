/** What Paddle answers when it refuses: thrown by whatever finds the reason, written to the wire in one place. */

export type FieldError = { field: string; message: string }

export class ApiRefusal extends Error {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly family: 'shared' | 'customers' | 'subscriptions' | 'transactions' | 'adjustments'
  readonly errors: readonly FieldError[] | null
  readonly retryAfterSeconds: number | null

  constructor(
    status: number,
    code: string,
    detail: string,
    more: {
      family?: ApiRefusal['family']
      errors?: readonly FieldError[]
      retryAfterSeconds?: number | null
    } = {},
  ) {
    const fields = (more.errors ?? []).map(({ field, message }) => `${field}: ${message}`)
    super([`${code}: ${detail}`, ...fields].join(' '))
    this.name = 'ApiRefusal'
    this.status = status
    this.code = code
    this.detail = detail
    this.family = more.family ?? 'shared'
    this.errors = more.errors ?? null
    this.retryAfterSeconds = more.retryAfterSeconds ?? null
  }
}

export function notFound(id: string): ApiRefusal {
  return new ApiRefusal(404, 'not_found', `Entity ${id} not found`)
}

export function invalidField(field: string, message: string): ApiRefusal {
  return invalidFields([{ field, message }])
}

export function invalidFields(errors: readonly FieldError[]): ApiRefusal {
  return new ApiRefusal(400, 'invalid_field', 'Request does not pass validation.', { errors })
}

export function badRequest(detail: string): ApiRefusal {
  return new ApiRefusal(400, 'bad_request', detail)
}

/** The body of an error answer. */
export function refusalBody(refusal: ApiRefusal, requestId: string): object {
  return {
    error: {
      type: refusal.status >= 500 ? 'api_error' : 'request_error',
      code: refusal.code,
      detail: refusal.detail,
      documentation_url: `https://developer.paddle.com/errors/${refusal.family}/${refusal.code}`,
      ...(refusal.errors === null ? {} : { errors: refusal.errors }),
    },
    meta: { request_id: requestId },
  }
}

/**
 * What an operation may be refused with, in the OpenAPI document. Each refusal is described once; operations point at it. Most
 * follow from what an operation is: who may call it, whether its address names a thing, whether it reads a body. What else
 * one may be refused with is listed here, by its name.
 */
import type { OpenApiDocument, Operation } from './openapi-document.ts'

type Refusal = keyof typeof refusals

const refusals = {
  400: { name: 'Invalid', description: 'The request is not what this address reads: `field` says where.' },
  401: { name: 'Unauthorized', description: 'No key, or none that is in force.' },
  402: { name: 'InsufficientBalance', description: 'The wallet has too little for it: top up, then again.' },
  403: { name: 'WrongScope', description: 'The key may not do this, or the wallet is frozen.' },
  404: { name: 'NotFound', description: 'There is no such thing in this workspace.' },
  409: {
    name: 'Conflict',
    description: 'It does not go with what is there, or the same request is under way.',
  },
  422: {
    name: 'Unprocessable',
    description: 'Well formed, and yet it cannot be; or an Idempotency-Key that came with another body.',
  },
  429: { name: 'TooManyRequests', description: 'Too many requests with this key: wait for `Retry-After`.' },
} as const

/** What operations are refused with besides what follows from what they are. By `METHOD /path` of the document. */
const besides: Partial<Record<string, readonly Refusal[]>> = {
  'POST /v1/calls': [402, 409, 422],
  'POST /v1/calls/{call_id}/extend': [402, 409, 422],
  'POST /v1/calls/{call_id}/end': [409, 422],
  'POST /v1/calls/{call_id}/release': [409],
  'POST /v1/campaigns/{campaign_id}/action': [402, 409],
  'POST /v1/phone-numbers': [402, 422],
  'POST /v1/usage': [409],
  'GET /v1/pricing': [422],
  'GET /v1/wallet/pricing': [422],
  'GET /v1/wallet/estimate': [422],
  'DELETE /v1/keys/{key_id}': [409],
  'PUT /v1/wallet/auto-recharge': [409, 422],
  'PUT /v1/payments/auto-charge': [409, 422],
  'GET /v1/payments/methods/{id}/update': [409, 422],
  'GET /v1/payments/saved-cards/{id}/update': [409, 422],
  'DELETE /v1/payments/methods/{id}': [409],
  'DELETE /v1/payments/saved-cards/{id}': [409],
  'POST /webhooks/paddle': [401],
  'POST /v1/payments/webhooks/paddle': [401],
}

export function describeRefusals(document: OpenApiDocument): OpenApiDocument {
  const paths = Object.entries(document.paths).map(([path, operations]) => [
    path,
    Object.fromEntries(
      Object.entries(operations).map(([method, operation]) => [
        method,
        withRefusals(operation, refusalsOf(method, path, operation)),
      ]),
    ),
  ])
  const { components } = document
  return {
    ...document,
    paths: Object.fromEntries(paths),
    components: {
      ...components,
      schemas: { ...components.schemas, Error: errorSchema },
      responses: { ...components.responses, ...describedOnce(), Error: response(otherErrors) },
    },
  }
}

/** Shape: the operations that `besides` names and the document does not have: none, or one was renamed. */
export function unknownInBesides(document: OpenApiDocument): string[] {
  const known = new Set(
    Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    ),
  )
  return Object.keys(besides).filter((name) => !known.has(name))
}

function withRefusals(operation: Operation, statuses: readonly Refusal[]): Operation {
  const described = Object.fromEntries(
    statuses.map((status) => [String(status), reference(refusals[status].name)]),
  )
  const said = Object.entries(operation.responses).map(([status, response]) => [
    status,
    response.description === unsaid ? { ...response, description: meanings[status] ?? 'Done.' } : response,
  ])
  // What a route says itself about a status comes first.
  const responses = { ...described, ...Object.fromEntries(said), default: reference('Error') }
  return { ...operation, responses }
}

/** What stands where a route says nothing of a response but its shape. */
const unsaid = 'Default Response'

const meanings: Partial<Record<string, string>> = {
  200: 'Done.',
  201: 'Made: `Location` says where it is.',
  202: 'Taken, and not done yet.',
  503: 'Not ready: the parts say why.',
}

function refusalsOf(method: string, path: string, operation: Operation): Refusal[] {
  const hasKey = operation['x-scope'] !== 'public'
  const reads = operation.requestBody !== undefined || (operation.parameters ?? []).length > 0
  const isIdempotent = (operation.parameters ?? []).some(
    (parameter) => parameter.in === 'header' && parameter.name.toLowerCase() === 'idempotency-key',
  )
  const isOfWorkspace = hasKey && operation['x-scope'] !== 'operator'
  return [
    ...(reads ? [400 as const] : []),
    ...(hasKey ? [401 as const, 403 as const] : []),
    ...(isOfWorkspace || path.includes('{') ? [404 as const] : []),
    ...(isIdempotent ? [409 as const, 422 as const] : []),
    429 as const,
    ...(besides[`${method.toUpperCase()} ${path}`] ?? []),
  ]
}

function describedOnce(): Record<string, unknown> {
  return Object.fromEntries(
    Object.values(refusals).map(({ name, description }) => [name, response(description)]),
  )
}

const otherErrors =
  'Anything else that went wrong. 408, 413, 415 and 431 are about how the request was sent; 503 means that nothing was done ' +
  'and the same may be sent again; 500 is ours to mend, and `request_id` is what we need to know.'

function response(description: string) {
  return { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } }
}

function reference(name: string) {
  return { $ref: `#/components/responses/${name}` }
}

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'request_id'],
      properties: {
        code: { type: 'string', description: 'Stable, for a program.', examples: ['insufficient_balance'] },
        message: { type: 'string', description: 'What is wrong and what to do, for a person.' },
        field: { type: 'string', description: 'Which field it is about.', examples: ['amount_usd'] },
        request_id: { type: 'string', examples: ['req_0b0e5f6c-93c1-4a5b-9f0f-3f4c8f0f1d2e'] },
        balance_usd: { type: 'number', description: 'With 402: what is available.', examples: [0.05] },
        required_usd: { type: 'number', description: 'With 402: what it takes.', examples: [0.2] },
      },
      additionalProperties: true,
    },
  },
}

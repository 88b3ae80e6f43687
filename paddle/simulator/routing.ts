/** Which handler answers which request: "POST /subscriptions/{id}/charge" and what its path says. */
import { ApiRefusal } from './api-refusal.ts'
import { listEntities, type ListRules } from './lists.ts'
import type { Simulation } from './simulation.ts'

export type ApiRequest = {
  method: string
  /** Without the query. */
  path: string
  params: Record<string, string>
  query: URLSearchParams
  /** Parsed JSON; undefined without a body. */
  body: unknown
  /** For how long a fault keeps what this request makes out of the lists. */
  visibleAfterMs: number
}

export type Answer = {
  status: number
  /** What goes into the envelope; undefined has none. */
  data?: unknown
  pagination?: object
}

type Handler = (simulation: Simulation, request: ApiRequest) => Answer | Promise<Answer>

/** By "METHOD /path/{id}". */
export type Routes = Record<string, Handler>

export type FoundRoute = { name: string; handler: Handler; params: Record<string, string> }

/** The handlers of all routes, looked up by method and path. Throws: ApiRefusal when nobody answers there. */
export function createRouter(routes: Routes): (method: string, path: string) => FoundRoute {
  const entries = Object.entries(routes).map(([name, handler]) => {
    const [method = '', pattern = ''] = name.split(' ')
    return { name, handler, method, parts: pattern.split('/') }
  })
  return (method, path) => {
    const parts = path.split('/')
    let isKnownPath = false
    for (const entry of entries) {
      const params = match(entry.parts, parts)
      if (params === null) continue
      if (entry.method === method) return { name: entry.name, handler: entry.handler, params }
      isKnownPath = true
    }
    throw isKnownPath
      ? new ApiRefusal(405, 'method_not_allowed', `Method ${method} is not allowed here`)
      : new ApiRefusal(404, 'invalid_url', `Nothing answers at ${path}`)
  }
}

/** Throws: Error for a name that the route's path does not have. */
export function param({ params }: ApiRequest, name: string): string {
  const value = params[name]
  if (value === undefined) throw new Error(`the path has no {${name}}`)
  return value
}

/** A page of entities as an answer; `present` is what each is shown as. */
export function answerList<Entity>(
  simulation: Simulation,
  request: ApiRequest,
  {
    all,
    rules,
    present = (entity) => entity,
  }: {
    all: Iterable<Entity>
    rules: ListRules<Entity>
    present?: (entity: Entity) => unknown
  },
): Answer {
  const address = `${simulation.url}${request.path}`
  const { entities, pagination } = listEntities(all, request.query, rules, address)
  return { status: 200, data: entities.map(present), pagination }
}

/** What a request asks to be included: `include=customer,address`. */
export function included(request: ApiRequest): ReadonlySet<string> {
  return new Set((request.query.get('include') ?? '').split(',').filter((name) => name !== ''))
}

function match(pattern: readonly string[], parts: readonly string[]): Record<string, string> | null {
  if (pattern.length !== parts.length) return null
  const params: Record<string, string> = {}
  for (const [index, expected] of pattern.entries()) {
    const part = parts[index] ?? ''
    if (expected.startsWith('{') && part !== '') params[expected.slice(1, -1)] = part
    else if (expected !== part) return null
  }
  return params
}

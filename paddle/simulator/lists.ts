/**
 * How Paddle lists: comma-separated values, times with operators, an order, and pages that go on after an id.
 *
 * Guarantees: `has_more` is false on the last page, so that whoever follows `next` comes to an end.
 */
import { badRequest, invalidField } from './api-refusal.ts'
import { instantKey } from './clock.ts'

export type ListRules<Entity> = {
  idOf: (entity: Entity) => string
  /** Query parameters that take a comma-separated list, and what of an entity they are compared with. */
  fields: Record<string, (entity: Entity) => readonly string[] | string | null | undefined>
  /** Parameters that take an instant, and `[LT]`, `[LTE]`, `[GT]`, `[GTE]`. */
  instants?: Record<string, (entity: Entity) => string | null | undefined>
  /** What a list may be ordered by, beside the id. */
  orders?: Record<string, (entity: Entity) => string>
  perPage: number
  mostPerPage: number
}

export type Page<Entity> = {
  entities: Entity[]
  pagination: { per_page: number; next: string; has_more: boolean; estimated_total: number }
}

/** Throws: ApiRefusal for what no list understands. */
export function listEntities<Entity>(
  all: Iterable<Entity>,
  query: URLSearchParams,
  rules: ListRules<Entity>,
  address: string,
): Page<Entity> {
  const tests: ((entity: Entity) => boolean)[] = []
  for (const [name, value] of query) {
    if (value !== '') tests.push(...testsOf(name, value, rules))
  }
  const compare = orderOf(query.get('order_by'), rules)
  const perPage = perPageOf(query.get('per_page'), rules)
  const known = [...all]
  const matching = known.filter((entity) => tests.every((test) => test(entity)))
  const cursor = cursorOf(query.get('after'), known, rules)
  const rest = matching.filter((entity) => cursor === null || compare(entity, cursor) > 0).toSorted(compare)
  const entities = rest.slice(0, perPage)
  const last = entities.at(-1) ?? cursor
  const next = new URLSearchParams(query)
  if (last !== null) next.set('after', rules.idOf(last))
  return {
    entities,
    pagination: {
      per_page: perPage,
      next: `${address}?${next.toString()}`,
      has_more: rest.length > entities.length,
      estimated_total: matching.length,
    },
  }
}

const pagingParameters = new Set(['after', 'per_page', 'order_by', 'include'])

function testsOf<Entity>(
  name: string,
  value: string,
  { fields, instants = {} }: ListRules<Entity>,
): ((entity: Entity) => boolean)[] {
  if (pagingParameters.has(name)) return []
  const field = fields[name]
  if (field !== undefined) {
    const wanted = new Set(value.split(','))
    return [(entity) => [field(entity) ?? 'null'].flat().some((each) => wanted.has(each))]
  }
  const [, base = name, operator = 'EQ'] = /^(\w+)\[(LTE?|GTE?)\]$/.exec(name) ?? []
  const instant = instants[base]
  if (instant === undefined) throw invalidField(name, 'is not a query parameter of this list')
  if (Number.isNaN(Date.parse(value))) throw invalidField(name, 'must be an RFC 3339 date and time')
  const bound = instantKey(toUtc(value))
  return [
    (entity) => {
      const at = instant(entity) ?? null
      return at !== null && holds(operator, instantKey(at), bound)
    },
  ]
}

function holds(operator: string, at: string, bound: string): boolean {
  if (operator === 'LT') return at < bound
  if (operator === 'LTE') return at <= bound
  if (operator === 'GT') return at > bound
  if (operator === 'GTE') return at >= bound
  return at === bound
}

/** Without a zone Paddle reads UTC; with another one we are exact to the millisecond. */
function toUtc(value: string): string {
  if (value.endsWith('Z')) return value
  return /[+-]\d\d:\d\d$/.test(value) ? new Date(value).toISOString() : `${value}Z`
}

function orderOf<Entity>(
  orderBy: string | null,
  { idOf, orders = {} }: ListRules<Entity>,
): (one: Entity, other: Entity) => number {
  const [, name = '', direction = ''] = /^(\w+)\[(ASC|DESC)\]$/.exec(orderBy ?? 'id[ASC]') ?? []
  const keyOf = name === 'id' ? idOf : orders[name]
  if (keyOf === undefined || direction === '')
    throw invalidField(
      'order_by',
      `must be one of ${['id', ...Object.keys(orders)].join(', ')}, with [ASC] or [DESC]`,
    )
  const sign = direction === 'ASC' ? 1 : -1
  return (one, other) => sign * (compareText(keyOf(one), keyOf(other)) || compareText(idOf(one), idOf(other)))
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}

/** More than a page may hold is a whole page; it is no error. */
function perPageOf(text: string | null, { perPage, mostPerPage }: ListRules<never>): number {
  if (text === null || text === '') return perPage
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) throw invalidField('per_page', 'must be a number above 0')
  return Math.min(Number(text), mostPerPage)
}

function cursorOf<Entity>(
  after: string | null,
  known: readonly Entity[],
  { idOf }: ListRules<Entity>,
): Entity | null {
  if (after === null || after === '') return null
  const cursor = known.find((entity) => idOf(entity) === after)
  if (cursor === undefined) throw badRequest(`There is no entity ${after} to go on after.`)
  return cursor
}

/** What somebody would send who has read the document: values that its schemas describe, and ids that the API has given out. */
import type { JsonSchema } from '../../api/openapi-document.ts'
import type { Random } from './random.ts'

/** What may stand in a field, by the field's name: ids from answers, and what a schema cannot say. */
export type Known = {
  of: (name: string) => readonly unknown[]
  /** Takes up what an answer names. */
  learn: (answer: unknown) => void
}

const mostOfEach = 200

/** What answers name, and where it can be asked for again. */
const learned: Partial<Record<string, readonly string[]>> = {
  call_id: ['call_id', 'callId'],
  campaign_id: ['campaign_id', 'campaignId'],
  next_cursor: ['cursor'],
}

/** Of ids that are named no better than `id`: by what they begin with, the things that their addresses are of. */
const learnedIds: readonly [prefix: string, fields: readonly string[]][] = [
  ['txn_', ['transactions']],
  ['topup_', ['topups']],
  ['pm_', ['methods', 'saved-cards', 'payment_method_id']],
]

/** Shape: `given` are values that are known from the start, by the name of the field. */
export function createKnown(given: Record<string, readonly unknown[]>): Known {
  const values = new Map<string, unknown[]>(Object.entries(given).map(([name, each]) => [name, [...each]]))
  const take = (name: string, value: unknown): void => {
    const list = values.get(name) ?? []
    list.push(value)
    if (list.length > mostOfEach) list.splice(0, list.length - mostOfEach)
    values.set(name, list)
  }
  const learn = (answer: unknown, depth = 0): void => {
    if (typeof answer !== 'object' || answer === null || depth > 3) return
    if (Reflect.get(answer, 'hold_state') === 'open') take('calls', Reflect.get(answer, 'call_id'))
    for (const [name, value] of Object.entries(answer)) {
      if (typeof value === 'string') for (const field of fieldsFor(name, value)) take(field, value)
      else learn(value, depth + 1)
    }
  }
  return { of: (name) => values.get(name) ?? [], learn: (answer) => learn(answer) }
}

function fieldsFor(name: string, value: string): readonly string[] {
  if (name !== 'id') return learned[name] ?? []
  return learnedIds.find(([prefix]) => value.startsWith(prefix))?.[1] ?? []
}

/** Shape: a value that the schema most likely takes. `name` is the field that it is for. */
export function likelyValue(schema: JsonSchema, name: string, known: Known, random: Random): unknown {
  const ours = known.of(name)
  if (ours.length > 0 && random.chance(0.8)) return random.pickAny(ours)
  const { examples, enum: choices, anyOf, oneOf, type, properties, items } = schema
  if (isList(choices)) return random.pickAny(choices)
  if (isList(examples) && random.chance(0.9)) return random.pickAny(examples)
  if (isSchema(properties)) return likelyObject(schema, properties, known, random)
  if (isSchema(items)) {
    const length = Math.max(Number(schema['minItems'] ?? 0), 1 + random.below(3))
    return Array.from({ length }, () => likelyValue(items, name, known, random))
  }
  const branches = isList(anyOf) ? anyOf : isList(oneOf) ? oneOf : []
  const branch = random.pickAny(branches.filter(isSchema))
  if (branch !== undefined) return likelyValue(branch, name, known, random)
  return likelyScalar(schema, isList(type) ? random.pickAny(type) : type, random)
}

function likelyObject(schema: JsonSchema, properties: JsonSchema, known: Known, random: Random): unknown {
  const required = isList(schema['required']) ? schema['required'] : []
  const fields = Object.entries(properties)
    .filter(([name]) => required.includes(name) || random.chance(0.4))
    .flatMap(([name, field]) => (isSchema(field) ? [[name, likelyValue(field, name, known, random)]] : []))
  return Object.fromEntries(fields)
}

function likelyScalar(schema: JsonSchema, type: unknown, random: Random): unknown {
  if (type === 'boolean') return random.chance(0.5)
  if (type === 'null') return null
  if (type === 'integer' || type === 'number') {
    const least = Number(schema['minimum'] ?? 0)
    const most = Math.min(Number(schema['maximum'] ?? least + 100), least + 1_000)
    return Math.ceil(least) + random.below(Math.max(1, Math.floor(most - least) + 1))
  }
  if (schema['format'] === 'date-time') return '2026-11-01T10:00:00Z'
  if (schema['format'] === 'date') return '2026-11-01'
  if (schema['format'] === 'email') return 'billing@example.com'
  if (schema['format'] === 'uri') return 'https://example.com/wallet'
  return random.pick(['a', 'agent_7', '14155550100', '1.50'])
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value)
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

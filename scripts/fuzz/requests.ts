/** Requests that come of the document: most of them nearly right, because what is plainly wrong is refused at the door. */
import type { JsonSchema, OpenApiDocument, Operation, Parameter } from '../../api/openapi-document.ts'
import { hostileBody, hostileMoney, hostileText, hostileValue } from './hostile-values.ts'
import { likelyValue, type Known } from './likely-values.ts'
import type { Random } from './random.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS'

export type FuzzRequest = {
  /** `METHOD /path` of the document. */
  name: string
  operation: Operation
  method: Method
  url: string
  headers: Record<string, string>
  payload: string | Buffer | null
  /** What must not be answered with anything but a 4xx. */
  mustRefuse: string | null
}

/** What each caller sends as its key, and how Paddle signs what it sends. */
export type Callers = Record<'read' | 'write' | 'admin' | 'operator' | 'stranger', string> & {
  sign: (body: string) => string
}

type Target = { name: string; method: Method; path: string; operation: Operation }

const methods: readonly Method[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']

export function targetsOf(document: OpenApiDocument): Target[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([verb, operation]) => {
      const method = methods.find((each) => each === verb.toUpperCase())
      return method === undefined ? [] : [{ name: `${method} ${path}`, method, path, operation }]
    }),
  )
}

/** Shape: `known` and `random` decide; nothing else does. */
export function requestOf(target: Target, callers: Callers, known: Known, random: Random): FuzzRequest {
  const { operation } = target
  if (target.path.endsWith('/webhooks/paddle') && random.chance(0.8)) return newsOf(target, callers, random)
  const parameters = operation.parameters ?? []
  const { payload, type, mustRefuse } = bodyOf(operation, known, random)
  return {
    name: target.name,
    operation,
    method: mustRefuse === null && random.chance(0.02) ? (random.pickAny(methods) ?? 'GET') : target.method,
    url: `${pathOf(target.path, parameters, known, random)}${queryOf(parameters, known, random)}`,
    headers: {
      ...keyHeader(operation, callers, random, mustRefuse !== null),
      ...(type === null ? {} : { 'content-type': type }),
      ...(mustRefuse === null ? oddHeaders(operation, random) : {}),
    },
    payload,
    mustRefuse,
  }
}

/** As Paddle tells it, and what it would hardly tell. Signed all the same: whoever has the secret is believed to be Paddle. */
function newsOf(
  { name, method, path: url, operation }: Target,
  callers: Callers,
  random: Random,
): FuzzRequest {
  const likely = {
    event_id: `evt_${random.below(1_000)}`,
    event_type: random.pick(['transaction.completed', 'subscription.created', 'adjustment.updated', 'x', '']),
    occurred_at: '2026-11-01T10:00:00Z',
    data: { id: 'txn_01h', status: 'completed', custom_data: { workspace_id: 'ws_fuzzed' } },
  }
  const body = random.chance(0.3)
    ? hostileBody(random, JSON.stringify(likely)).text
    : JSON.stringify(spoilt(likely, random))
  const text = typeof body === 'string' ? body : body.toString('utf8')
  const signature = random.chance(0.9)
    ? callers.sign(text)
    : hostileText(random).replaceAll(/[^\u0020-\u007e]/g, '?')
  const headers = { 'content-type': 'application/json', 'paddle-signature': signature }
  return { name, operation, method, url, headers, payload: text, mustRefuse: null }
}

function pathOf(path: string, parameters: readonly Parameter[], known: Known, random: Random): string {
  const filled = path.replaceAll(/([\w-]+)\/\{(\w+)\}/g, (_whole, noun: string, name: string) => {
    const parameter = parameters.find((each) => each.in === 'path' && each.name === name)
    const likely = random.chance(0.75)
    const value = likely
      ? String(likelyValue(parameter?.schema ?? {}, known.of(noun).length > 0 ? noun : name, known, random))
      : hostileText(random).slice(0, 600)
    const odd = random.chance(0.01) ? random.pick(['%00', '%ED%A0%80', '%2e%2e', '%', '%zz']) : null
    return `${noun}/${odd ?? encoded(value)}`
  })
  return random.chance(0.01) ? `${filled}${random.pick(['/', '//', '/..', '?', '#a', '%'])}` : filled
}

function queryOf(parameters: readonly Parameter[], known: Known, random: Random): string {
  const pairs = parameters
    .filter((parameter) => parameter.in === 'query' && (parameter.required === true || random.chance(0.4)))
    .flatMap(({ name, schema }) => {
      // Nobody here has the time that a patient client has.
      if (name === 'wait')
        return random.chance(0.5) ? [] : [[name, random.pick(['0', '0.01', '-1', '21', 'x'])]]
      const value = random.chance(0.75)
        ? String(likelyValue(schema, name, known, random))
        : hostileText(random).slice(0, 900)
      return random.chance(0.03)
        ? [
            [name, value],
            [name, value],
          ]
        : [[name, value]]
    })
  const stray = random.chance(0.05)
    ? [
        random.pick([
          ['limit[]', '1'],
          ['__proto__[polluted]', '1'],
          ['', ''],
          ['unknown', 'x'],
          ['a.b', '1'],
        ]),
      ]
    : []
  const all = [...pairs, ...stray].map(([name = '', value = '']) => `${encoded(name)}=${encoded(value)}`)
  return all.length === 0 ? '' : `?${all.join('&')}`
}

function bodyOf(operation: Operation, known: Known, random: Random) {
  const schema = operation.requestBody?.content['application/json']?.schema
  const none = { payload: null, type: null, mustRefuse: null }
  if (schema === undefined) {
    if (!random.chance(0.2)) return none
    const { text, type } = hostileBody(random, '{}')
    return { payload: text, type, mustRefuse: null }
  }
  const likely = likelyValue(schema, '', known, random)
  const roll = random.below(100)
  if (roll < 12) {
    const money = badMoney(schema, likely, random)
    if (money !== null) return { ...money, type: 'application/json' }
  }
  if (roll < 25) {
    const { text, type } = hostileBody(random, JSON.stringify(likely))
    return { payload: text, type, mustRefuse: null }
  }
  const value = roll < 65 ? spoilt(likely, random) : likely
  return { payload: JSON.stringify(value), type: 'application/json', mustRefuse: null }
}

/** Amounts that move money by themselves. A threshold, say, may well be nothing. */
const movesMoney = new Set(['amount', 'amount_usd', 'topup_usd', 'charge_amount_usd'])

/** The body, right but for one amount; null when it has none. */
function badMoney(schema: JsonSchema, likely: unknown, random: Random) {
  const { properties } = schema
  if (typeof properties !== 'object' || properties === null || typeof likely !== 'object') return null
  const name = random.pickAny(Object.keys(properties).filter((each) => movesMoney.has(each)))
  if (name === undefined) return null
  const text = random.pick(hostileMoney)
  const mark = '"@@amount@@"'
  const payload = JSON.stringify({ ...likely, [name]: '@@amount@@' }).replace(mark, text)
  return { payload, mustRefuse: `${name}: ${text}` }
}

/** With something in it that is not as it should be. */
function spoilt(value: unknown, random: Random): unknown {
  if (Array.isArray(value) && value.length > 0 && random.chance(0.8)) {
    const at = random.below(value.length)
    return value.map((each: unknown, index) => (index === at ? spoilt(each, random) : each))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return hostileValue(random)
  const names = Object.keys(value)
  const name = random.pickAny(names)
  if (name === undefined || random.chance(0.15)) {
    return {
      ...value,
      [random.pick(['unknown', 'workspace_id', 'balance_usd', 'toString', ''])]: hostileValue(random),
    }
  }
  if (random.chance(0.15)) return Object.fromEntries(Object.entries(value).filter(([each]) => each !== name))
  return { ...value, [name]: spoilt(Reflect.get(value, name), random) }
}

function keyHeader(
  operation: Operation,
  callers: Callers,
  random: Random,
  mustReachBody: boolean,
): Record<string, string> {
  const scope = operation['x-scope']
  const right = scope === 'operator' ? callers.operator : callers.admin
  const roll = mustReachBody ? 0 : random.below(100)
  if (roll < 80) return { authorization: `Bearer ${right}` }
  if (roll < 83) return {}
  if (roll < 86)
    return {
      authorization: hostileText(random)
        .replaceAll(/[^\t\u0020-\u007e]/g, '?')
        .slice(0, 2_000),
    }
  const other = random.pick([callers.read, callers.write, callers.operator, callers.stranger])
  return { authorization: random.chance(0.9) ? `Bearer ${other}` : `bearer   ${other}` }
}

function oddHeaders(operation: Operation, random: Random): Record<string, string> {
  const takesKey = (operation.parameters ?? []).some(({ in: place }) => place === 'header')
  const key = random.pick(['again', 'again', `key-${random.below(500)}`, '', 'é', 'a'.repeat(256), '\t'])
  return {
    ...(takesKey && random.chance(0.5) ? { 'idempotency-key': key } : {}),
    ...(random.chance(0.03)
      ? { 'x-forwarded-for': hostileText(random).replaceAll(/[^\u0020-\u007e]/g, '?') }
      : {}),
    ...(random.chance(0.03) ? { accept: 'text/html' } : {}),
    ...(random.chance(0.03) ? { 'accept-encoding': 'gzip, *' } : {}),
    ...(random.chance(0.02) ? { origin: 'https://example.com' } : {}),
    ...(random.chance(0.02) ? { 'paddle-signature': 'ts=1;h1=00' } : {}),
  }
}

/** As a URL carries it; what no URL can carry is left out. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

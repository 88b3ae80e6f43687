/** Arbitrary usage: every payload that the contracts allow, and every JSON value that they do not. */
import * as fc from 'fast-check'

const idCharacters = 'abcXYZ0189_-'.split('')
const idOf = (...prefixes: string[]) =>
  fc
    .tuple(
      fc.constantFrom(...prefixes),
      fc.string({ unit: fc.constantFrom(...idCharacters), minLength: 1, maxLength: 64 }),
    )
    .map(([prefix, rest]) => `${prefix}_${rest}`)

const opaque = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const phoneNumber = fc
  .tuple(
    fc.integer({ min: 1, max: 9 }),
    fc.string({ unit: fc.constantFrom(...'0123456789'.split('')), minLength: 6, maxLength: 14 }),
  )
  .map(([first, rest]) => `+${first}${rest}`)
const moment = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined })

/** Any call that the producer takes. */
export const anyCall = fc.record({
  callId: idOf('call', 'demo', 'test', 'interp', 'bridge'),
  workspaceId: idOf('ws'),
  startedAt: fc.oneof(
    moment,
    moment.map((date) => date.toISOString()),
  ),
  durationSeconds: fc.oneof(
    fc.integer({ min: 0, max: 86_400 }),
    fc.double({ min: 0, max: 86_400, noNaN: true }),
  ),
  direction: optional(fc.constantFrom('outbound' as const, 'inbound' as const, 'web' as const)),
  to: optional(phoneNumber),
  from: optional(phoneNumber),
  recorded: fc.boolean(),
  agentId: optional(opaque),
  campaignId: optional(opaque),
})

/** Any message that the producer takes. */
export const anyMessage = fc.record({
  messageId: idOf('msg'),
  workspaceId: idOf('ws'),
  sentAt: moment.map((date) => date.toISOString()),
  chatId: optional(idOf('chat')),
  agentId: optional(opaque),
  campaignId: optional(opaque),
})

/** Any text that JSON can carry, and Postgres often cannot: NUL, halves of surrogate pairs, quotes, control characters. */
const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\0', '\ud800', '\udfff', '"', '\\', '\n', '\u2028', '#', ':', '/', '𝄞', 'é'),
    fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
  ),
  maxLength: 12,
})

/** Any value that arrives through JSON. */
export const anyJson: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.double().map((number) => (Number.isFinite(number) ? number : null)),
    anyText,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(anyText, fc.constantFrom('__proto__', 'constructor', 'kind', 'events')),
      tie('value'),
      {
        maxKeys: 4,
      },
    ),
  ),
})).value

/** Every field that a payload can have. */
const fieldNames = [
  'callId',
  'messageId',
  'workspaceId',
  'startedAt',
  'sentAt',
  'durationSeconds',
  'direction',
  'to',
  'from',
  'recorded',
  'agentId',
  'campaignId',
  'chatId',
]

/** A payload that was sensible until some of its fields became anything at all. */
export const almostCall = spoiled(anyCall)
export const almostMessage = spoiled(anyMessage)

function spoiled(payload: fc.Arbitrary<object>): fc.Arbitrary<unknown> {
  return fc
    .tuple(payload, fc.dictionary(fc.oneof(fc.constantFrom(...fieldNames), anyText), anyJson, { maxKeys: 3 }))
    .map(([sensible, changes]): unknown => JSON.parse(JSON.stringify({ ...sensible, ...changes })))
}

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { workspaceId } from '../../billing/ids.ts'
import {
  findTelephonyRate,
  parseRate,
  parseRateCard,
  parseWorkspaceRate,
  rateCardFile,
  rateCardInForce,
  withWorkspaceRates,
  type WorkspaceRate,
} from '../../billing/rate-card.ts'
import { parseRateAmount, rateDuration } from '../../billing/rate.ts'
import { flatRate, givenCard } from './given.ts'

describe('the telephony rate of a number', () => {
  test('is that of the longest prefix, as trying them all says', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(digits({ minLength: 1, maxLength: 6 }), { maxLength: 30 }),
        digits({ minLength: 2, maxLength: 15 }),
        (prefixes, number) => {
          const card = givenCard({
            telephony: Object.fromEntries(prefixes.map((prefix) => [prefix, flatRate('0.01')])),
          })

          const found = findTelephonyRate(card, `+${number}`)

          const matching = prefixes.filter((prefix) => number.startsWith(prefix))
          const longest = matching.toSorted((one, other) => other.length - one.length)[0]
          expect(found?.prefix).toBe(longest)
          expect(found?.rate).toBe(longest === undefined ? undefined : card.telephony.get(longest))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test.each([
    '',
    '+',
    '14155550100',
    '+0155550100',
    '+1 415 555 0100',
    '+1415555010012345',
    'anonymous',
    '+1abc',
  ])('is none for %j, which is no E.164 number', (text) => {
    expect(findTelephonyRate(givenCard(), text)).toBeNull()
  })
})

describe('the rate card in force', () => {
  test('is the newest of those that had taken effect, in whatever order they come', () => {
    const instants = fc.integer({ min: 0, max: 20 })
    fc.assert(
      fc.property(fc.uniqueArray(instants, { maxLength: 10 }), instants, (starts, at) => {
        const cards = starts.map((start) =>
          givenCard({}, { id: `card ${start}`, effectiveFrom: new Date(start) }),
        )

        const inForce = rateCardInForce(cards, new Date(at))

        const newest = Math.max(...starts.filter((start) => start <= at))
        expect(inForce?.id).toBe(Number.isFinite(newest) ? `card ${newest}` : undefined)
      }),
    )
  })

  test('begins at its very first millisecond', () => {
    const card = givenCard({}, { effectiveFrom: new Date(1000) })

    expect(rateCardInForce([card], new Date(1000))).toBe(card)
    expect(rateCardInForce([card], new Date(999))).toBeNull()
  })
})

describe('what was agreed with a workspace', () => {
  const workspace = workspaceId.parse('ws_1')
  const at = new Date('2026-06-01T00:00:00Z')

  test('replaces the card, meter by meter, and leaves the card as it was', () => {
    const card = givenCard()
    const agreed = [
      agree('voice', null, flatRate('0.05')),
      agree('recording', null, flatRate('0')),
      agree('message', null, '0.002'),
      agree('inbound', null, flatRate('0.03')),
      agree('telephony', '44', flatRate('0.01')),
    ]

    const changed = withWorkspaceRates(card, agreed, at)

    expect(rateDuration(changed.voice, 60).amountMicros).toBe(50_000n)
    expect(rateDuration(changed.recording, 60).amountMicros).toBe(0n)
    expect(changed.messageUsd).toBe(parseRateAmount('0.002'))
    expect(changed.inbound).toEqual(parseRate(flatRate('0.03')))
    expect(findTelephonyRate(changed, '+442079460000')?.rate).toEqual(parseRate(flatRate('0.01')))
    expect(card).toEqual(givenCard())
  })

  test('leaves a longer prefix of the card alone', () => {
    const changed = withWorkspaceRates(givenCard(), [agree('telephony', '44', flatRate('0.01'))], at)

    expect(findTelephonyRate(changed, '+447700900000')).toEqual({
      prefix: '447',
      rate: parseRate(flatRate('0.11')),
    })
  })

  test('counts from its day on, and the newest wins in whatever order they come', () => {
    const agreed = [
      agree('voice', null, flatRate('0.07'), '2026-03-01'),
      agree('voice', null, flatRate('0.06'), '2026-05-01'),
      agree('voice', null, flatRate('0.09'), '2026-02-01'),
      agree('voice', null, flatRate('0.01'), '2026-07-01'),
    ]

    for (const list of [agreed, agreed.toReversed()]) {
      expect(withWorkspaceRates(givenCard(), list, at).voice).toEqual(parseRate(flatRate('0.06')))
    }
  })

  test('is the card itself when nothing applies', () => {
    const card = givenCard()

    expect(withWorkspaceRates(card, [agree('voice', null, flatRate('0.01'), '2027-01-01')], at)).toBe(card)
  })

  test.each([
    ['voice', '44', flatRate('1')],
    ['telephony', null, flatRate('1')],
    ['message', null, flatRate('1')],
    ['voice', null, '0.01'],
  ] as const)('is refused for %s with prefix %s when it makes no sense', (meter, prefix, rate) => {
    expect(() => agree(meter, prefix, rate)).toThrow(expect.objectContaining({ code: 'malformed_rate' }))
  })

  function agree(
    meter: WorkspaceRate['meter'],
    prefix: string | null,
    rate: unknown,
    from = '2026-01-01',
  ): WorkspaceRate {
    return parseWorkspaceRate({ workspaceId: workspace, effectiveFrom: new Date(from), meter, prefix, rate })
  }
})

describe('a rate card file', () => {
  const good = {
    voice: flatRate('0.10'),
    recording: flatRate('0.02'),
    telephony: { '1': flatRate('0.08'), '1415': flatRate('0.07') },
    message_usd: '0.01',
  }
  const dated = { id: 'card', effectiveFrom: new Date(0) }

  test('needs no inbound rate and no connection fee', () => {
    const card = parseRateCard({ ...good, voice: { intervals: good.voice.intervals } }, dated)

    expect(card.inbound).toBeNull()
    expect(card.voice.connectionFeeUsd).toBe(0n)
    expect([...card.telephony.keys()]).toEqual(['1', '1415'])
    expect(rateCardFile.safeParse(good).success).toBe(true)
  })

  const interval = { from_second: 0, per_minute_usd: '0.10', increment_seconds: 60 }

  test.each([
    ['a missing rate', { ...good, voice: undefined }, 'voice'],
    ['a misspelt field', { ...good, mesage_usd: '1' }, 'mesage_usd: unknown field'],
    [
      'a misspelt field of a rate',
      { ...good, voice: { ...good.voice, fee: '1' } },
      'voice.fee: unknown field',
    ],
    ['a price that is a number', { ...good, message_usd: 0.01 }, 'message_usd: expected a decimal string'],
    ['a negative price', { ...good, message_usd: '-0.01' }, 'message_usd'],
    [
      'a prefix with its plus',
      { ...good, telephony: { '+1': flatRate('1') } },
      'telephony.+1: expected 1 to 15 digits',
    ],
    ['no interval', { ...good, voice: { intervals: [] } }, 'voice.intervals'],
    [
      'a late first interval',
      withIntervals({ ...interval, from_second: 1 }),
      'voice.intervals.0.from_second',
    ],
    ['two intervals at once', withIntervals(interval, interval), 'voice.intervals.1.from_second'],
    [
      'an increment of nothing',
      withIntervals({ ...interval, increment_seconds: 0 }),
      'voice.intervals.0.increment_seconds',
    ],
    [
      'half an increment',
      withIntervals({ ...interval, increment_seconds: 0.5 }),
      'voice.intervals.0.increment_seconds',
    ],
    [
      'half a second',
      withIntervals(interval, { ...interval, from_second: 1.5 }),
      'voice.intervals.1.from_second',
    ],
    ['no object at all', 'rates', 'expected object'],
  ])('with %s is refused, and the field is named', (_fault, json, named) => {
    expect(() => parseRateCard(json, dated)).toThrow(
      expect.objectContaining({ code: 'malformed_rate_card', message: expect.stringContaining(named) }),
    )
  })

  test('with very much wrong names the first few and counts the rest', () => {
    const telephony = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`x${index}`, flatRate('1')]),
    )

    expect(() => parseRateCard({ ...good, telephony }, dated)).toThrow(/telephony\.x0: .*; and 15 more$/)
  })

  function withIntervals(...intervals: object[]) {
    return { ...good, voice: { connection_fee_usd: '0', intervals } }
  }
})

test('a single rate that is malformed is refused by the field', () => {
  expect(() => parseRate({ intervals: [{}] })).toThrow(
    expect.objectContaining({
      code: 'malformed_rate',
      message: expect.stringContaining('intervals.0.per_minute_usd'),
    }),
  )
})

/** Few digits, so that random prefixes nest in each other and numbers often match several. */
function digits(length: { minLength: number; maxLength: number }): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom('1', '2', '3'), ...length })
}

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRateCard } from '../../billing/rate-card.ts'
import { defaultRateCardJson } from '../../billing/rates-default.ts'
import { rateUsage } from '../../billing/rating.ts'
import { flatRate, givenCall, givenCard, givenMessage } from './given.ts'

test('a recorded call has a voice, a telephony and a recording line, and their sum is the total', () => {
  const card = parseRateCard(defaultRateCardJson, { id: 'default', effectiveFrom: new Date(0) })

  const rating = rateUsage(card, givenCall({ durationSeconds: 61, to: '+14155550100', recorded: true }))

  expect(rating).toMatchObject({
    outcome: 'rated',
    totalMicros: 203_333n,
    lines: [
      { meter: 'voice', quantity: 61, amountMicros: 101_667n },
      { meter: 'telephony', quantity: 61, amountMicros: 81_333n, prefix: '1' },
      { meter: 'recording', quantity: 61, amountMicros: 20_333n },
    ],
  })
})

test('the total is always the sum of the rounded lines', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 86_400, noNaN: true }),
      fc.boolean(),
      (durationSeconds, recorded) => {
        const rating = rateUsage(givenCard(), givenCall({ durationSeconds, recorded }))

        if (rating.outcome !== 'rated') throw new Error(rating.outcome)
        expect(rating.lines).toHaveLength(recorded ? 3 : 2)
        let sum = 0n
        for (const line of rating.lines) sum += line.amountMicros
        expect(rating.totalMicros).toBe(sum)
      },
    ),
  )
})

test('recording is paid for only when the call was recorded', () => {
  expect(metersOf(givenCall({ recorded: false }))).toEqual(['voice', 'telephony'])
})

test('a message costs the price of one message, rounded half-up', () => {
  const half = givenCard({ message_usd: '0.0000005' })

  expect(rateUsage(givenCard(), givenMessage())).toEqual({
    outcome: 'rated',
    lines: [{ meter: 'message', quantity: 1, amountMicros: 10_000n }],
    totalMicros: 10_000n,
  })
  expect(rateUsage(half, givenMessage())).toMatchObject({ totalMicros: 1n })
})

describe('telephony', () => {
  test('of an outbound call is priced by the number called', () => {
    const rating = rateUsage(givenCard(), givenCall({ to: '+447700900000', from: '+14155550100' }))

    expect(rating).toMatchObject({
      lines: [{}, { meter: 'telephony', prefix: '447', amountMicros: 111_833n }, {}],
    })
  })

  test('of an inbound call is priced by the caller', () => {
    const call = givenCall({ direction: 'inbound', to: '+14155550100', from: '+442079460000' })

    expect(rateUsage(givenCard(), call)).toMatchObject({ lines: [{}, { prefix: '44' }, {}] })
  })

  test('of an inbound call whose caller withheld the number is priced by the inbound rate and names no prefix', () => {
    const rating = rateUsage(givenCard({ inbound: flatRate('0.06') }), withheld())

    if (rating.outcome !== 'rated') throw new Error(rating.outcome)
    expect(rating.lines[1]).toMatchObject({ meter: 'telephony', amountMicros: 61_000n })
    expect(rating.lines[1]).not.toHaveProperty('prefix')
  })

  test('of an inbound call from nowhere is set aside when the card has no inbound rate', () => {
    expect(rateUsage(givenCard(), withheld())).toEqual({ outcome: 'set_aside', reason: 'no_inbound_rate' })
  })

  test('is no part of a web call', () => {
    expect(metersOf(givenCall({ direction: 'web', to: undefined }))).toEqual(['voice', 'recording'])
  })

  test.each([
    ['no number at all', givenCall({ to: undefined })],
    ['a number that no prefix matches', givenCall({ to: '+99999' })],
    ['a caller that no prefix matches', givenCall({ direction: 'inbound', from: '+99999' })],
  ])('with %s is set aside, never free', (_case, call) => {
    expect(rateUsage(givenCard({ inbound: flatRate('0.06') }), call)).toEqual({
      outcome: 'set_aside',
      reason: 'unknown_destination',
    })
  })
})

describe('nothing is owed', () => {
  test('for a call that was not answered, wherever it went and whatever the connection fee', () => {
    const card = givenCard({ voice: flatRate('0.10', 60, '5') })

    expect(rateUsage(card, givenCall({ durationSeconds: 0, to: '+99999' }))).toEqual({ outcome: 'free' })
    expect(rateUsage(card, givenCall({ durationSeconds: 0, to: undefined }))).toEqual({ outcome: 'free' })
  })

  test('when every line comes to zero', () => {
    const free = flatRate('0')
    const card = givenCard({
      voice: free,
      recording: free,
      telephony: { '1': free },
      message_usd: '0.0000004',
    })

    expect(rateUsage(card, givenCall())).toEqual({ outcome: 'free' })
    expect(rateUsage(card, givenMessage())).toEqual({ outcome: 'free' })
  })

  test('for one meter, and the line is still there to be seen', () => {
    const rating = rateUsage(givenCard({ voice: flatRate('0') }), givenCall())

    expect(rating).toMatchObject({
      lines: [{ meter: 'voice', amountMicros: 0n }, {}, {}],
      totalMicros: 101_666n,
    })
  })
})

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 86_400.5])(
  'a call of %s s is set aside as impossible instead of throwing',
  (durationSeconds) => {
    expect(rateUsage(givenCard(), givenCall({ durationSeconds }))).toEqual({
      outcome: 'set_aside',
      reason: 'impossible_duration',
    })
  },
)

function metersOf(call: Parameters<typeof rateUsage>[1]): string[] {
  const rating = rateUsage(givenCard(), call)
  return rating.outcome === 'rated' ? rating.lines.map((line) => line.meter) : [rating.outcome]
}

function withheld() {
  return givenCall({ direction: 'inbound', to: '+14155550100', from: undefined })
}

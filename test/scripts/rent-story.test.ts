// What the demo of rents says: each thing once, in the order in which it happened, and only what changed.
import { stripVTControlCharacters } from 'node:util'

import { describe, expect, test } from 'vitest'

import { topUpId, workspaceId } from '../../billing/ids.ts'
import { micros, parseUsd } from '../../billing/money.ts'
import type { TopUp } from '../../db/top-up.ts'
import { createRentStory } from '../../scripts/demo/rent-story.ts'
import type { NumberStep, RentFrame, RentMovement } from '../../scripts/demo/watch-rents.ts'

const phoneNumber = '+14155550101'
const nothing: RentFrame = { movements: [], steps: [], topUps: [], suspended: null, numbers: [] }

describe('the story of rents', () => {
  test('says what was paid, until when, and what is left', () => {
    const lines = tell({
      movements: [
        aMovement({ sequence: 1n, kind: 'grant', reference: 'ws_demo', amountMicros: micros(10_000_000n) }),
        aRent({ sequence: 2n, period: 0, endsAt: at('2027-02-28') }),
        aRent({ sequence: 3n, period: 1, postedAt: at('2027-02-28'), endsAt: at('2027-03-31') }),
      ],
    })

    expect(lines).toEqual([
      expect.stringMatching(/^ {2}31 Jan 2027 {2}opened with its signup grant +\+\$10\.00 +\$5\.00$/),
      expect.stringMatching(
        /^ {2}31 Jan 2027 {2}rented, paid until 28 Feb 2027 +\+14155550101 +-\$5\.00 +\$5\.00$/,
      ),
      expect.stringMatching(
        /^ {2}28 Feb 2027 {2}renewed until 31 Mar 2027 +\+14155550101 +-\$5\.00 +\$5\.00$/,
      ),
    ])
  })

  test('says every thing once, however often it is shown', () => {
    const story = createRentStory({ card: 'visa 4242' })
    const frame = { ...nothing, movements: [aRent({ sequence: 1n })], steps: [aStep({ step: 1 })] }

    expect(story(frame)).toHaveLength(1)
    expect(story(frame)).toEqual([])
    expect(story({ ...frame, movements: [...frame.movements, aRent({ sequence: 2n })] })).toHaveLength(1)
  })

  test('tells of a month that cannot be paid when it becomes so, not at every look', () => {
    const owed = { reason: 'insufficient_funds', availableUsd: '1.25', requiredUsd: '5.00' } as const
    const lines = tell({
      steps: [
        aStep({ step: 1 }),
        aStep({ step: 2, ...owed, state: 'past_due', at: at('2027-08-31') }),
        aStep({ step: 3, ...owed, state: 'past_due', at: at('2027-09-01') }),
        aStep({ step: 4, ...owed, state: 'suspended', at: at('2027-09-03') }),
        aStep({ step: 5, ...owed, state: 'suspended', at: at('2027-09-04') }),
        aStep({ step: 6, reason: 'unpaid', state: 'released', at: at('2027-09-10') }),
      ],
    })

    expect(lines.map((line) => line.replace(/ +\+14155550101$/, '').trim())).toEqual([
      '31 Aug 2027  past due: $1.25 there, $5.00 owed',
      '3 Sep 2027  suspended: unpaid for three days',
      '10 Sep 2027  released: unpaid for ten days',
    ])
  })

  test('calls a rent that was owed reinstated, and tells by whom the money came', () => {
    const back = at('2027-09-05')
    const lines = tell({
      movements: [
        aMovement({ sequence: 1n, kind: 'top_up', reference: 'topup_1', postedAt: back }),
        aMovement({ sequence: 2n, kind: 'top_up', reference: 'topup_2', postedAt: back }),
        aRent({ sequence: 3n, period: 7, postedAt: back, endsAt: at('2027-09-30') }),
      ],
      steps: [aStep({ step: 9, reason: 'reinstated', at: back })],
      topUps: [
        aTopUp({ topUpId: topUpId.parse('topup_1'), source: 'auto_recharge' }),
        aTopUp({ topUpId: topUpId.parse('topup_2'), source: 'checkout' }),
      ],
    })

    expect(lines.map((line) => line.slice(15).split(/ {2,}/)[0])).toEqual([
      'recharged from visa 4242',
      'paid in by the customer, another card',
      'reinstated, paid until 30 Sep 2027',
    ])
  })

  test('tells declines in their order, and when no further attempt is made', () => {
    const declined = { state: 'declined', reason: 'not_enough_balance', source: 'auto_recharge' } as const
    const lines = tell({
      topUps: [
        aTopUp({ ...declined, topUpId: topUpId.parse('topup_2'), changedAt: at('2027-08-02') }),
        aTopUp({ ...declined, topUpId: topUpId.parse('topup_1'), changedAt: at('2027-08-01') }),
      ],
      suspended: { at: at('2027-08-02'), reason: 'not_enough_balance' },
    })

    expect(lines.map((line) => line.trim())).toEqual([
      '1 Aug 2027  visa 4242 declined $20.00: the card has not enough money or credit',
      '2 Aug 2027  visa 4242 declined $20.00: the card has not enough money or credit',
      '2 Aug 2027  auto-recharge is suspended: no further attempt',
    ])
  })

  test('tells of a cancellation, and of the end that it leads to', () => {
    const lines = tell({
      steps: [
        aStep({ step: 2, reason: 'cancel_asked', at: at('2027-04-12'), endsAt: at('2027-04-30') }),
        aStep({ step: 3, reason: 'cancelled', state: 'released', at: at('2027-04-30') }),
      ],
    })

    expect(lines.map((line) => line.slice(15).split(/ {2,}/)[0])).toEqual([
      'cancelled by the customer: ends on 30 Apr 2027',
      'released: the month that was paid is over',
    ])
  })

  test('fits a screen of 120 columns', () => {
    const amounts = { amountMicros: micros(-10_000_000_000n), balanceAfterMicros: micros(-10_000_000_000n) }
    const lines = tell({
      movements: [aRent({ sequence: 1n, ...amounts, endsAt: at('2027-12-31') })],
      topUps: [
        aTopUp({ state: 'declined', reason: 'authentication_failed', amountMicros: micros(10n ** 10n) }),
      ],
    })

    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120)
  })
})

function tell(frame: Partial<RentFrame>): string[] {
  const story = createRentStory({ card: 'visa 4242' })
  return story({ ...nothing, ...frame }).map((line) => stripVTControlCharacters(line))
}

function at(day: string): Date {
  return new Date(`${day}T09:00:00.000Z`)
}

function aMovement(movement: Partial<RentMovement>): RentMovement {
  return {
    sequence: 1n,
    kind: 'number_rental',
    reference: phoneNumber,
    amountMicros: parseUsd('20'),
    balanceAfterMicros: parseUsd('5'),
    postedAt: at('2027-01-31'),
    period: null,
    endsAt: null,
    ...movement,
  }
}

function aRent(rent: Partial<RentMovement>): RentMovement {
  return aMovement({ amountMicros: micros(-5_000_000n), period: 1, ...rent })
}

function aStep(step: Partial<NumberStep>): NumberStep {
  return {
    phoneNumber,
    step: 1,
    state: 'active',
    reason: 'rented',
    availableUsd: null,
    requiredUsd: null,
    endsAt: null,
    at: at('2027-01-31'),
    ...step,
  }
}

function aTopUp(topUp: Partial<TopUp>): TopUp {
  return {
    workspaceId: workspaceId.parse('ws_demo'),
    topUpId: topUpId.parse('topup_any'),
    source: 'auto_recharge',
    state: 'succeeded',
    amountMicros: parseUsd('20'),
    creditedMicros: parseUsd('20'),
    subscriptionId: null,
    paddleTransactionId: null,
    checkoutUrl: null,
    submissions: 1,
    tries: 0,
    searches: 0,
    firstSentAt: null,
    sentAt: null,
    dueAt: null,
    reason: null,
    createdAt: at('2027-01-31'),
    changedAt: at('2027-01-31'),
    ...topUp,
  }
}

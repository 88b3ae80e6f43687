import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agentId, campaignId, chatId, workspaceId } from '../../billing/ids.ts'
import {
  accounts,
  assertBalanced,
  describeAccount,
  draftSignupGrant,
  draftUsage,
  type LedgerTransactionDraft,
  type PostingDraft,
} from '../../billing/ledger-draft.ts'
import { micros } from '../../billing/money.ts'
import { signupGrantMicros } from '../../billing/rates-default.ts'
import { rateUsage, type RatedUsage } from '../../billing/rating.ts'
import type { UsageEvent } from '../../billing/usage-event.ts'
import { flatRate, givenCall, givenCard, givenMessage } from './given.ts'

test('a call takes each line from the wallet and gives it to the revenue of its meter', () => {
  const call = givenCall({ agentId: agentId.parse('agent'), campaignId: campaignId.parse('spring') })

  const draft = draftUsage(call, rate(call), 'card')

  expect(draft).toEqual({
    kind: 'call',
    idempotencyKey: 'call/call_0a1b2c3d',
    reference: 'call_0a1b2c3d',
    agentId: 'agent',
    campaignId: 'spring',
    amountMicros: -203_333n,
    rateCardId: 'card',
    occurredAt: new Date('2026-11-01T10:01:01Z'),
    postings: [
      {
        debitAccount: 'wallet',
        creditAccount: 'voice_revenue',
        amountMicros: 101_667n,
        quantity: 61,
        prefix: null,
      },
      {
        debitAccount: 'wallet',
        creditAccount: 'telephony_revenue',
        amountMicros: 81_333n,
        quantity: 61,
        prefix: '1',
      },
      {
        debitAccount: 'wallet',
        creditAccount: 'recording_revenue',
        amountMicros: 20_333n,
        quantity: 61,
        prefix: null,
      },
    ],
  })
})

test('a message refers to its chat, or to itself where there is none', () => {
  const message = givenMessage({ chatId: chatId.parse('chat_7') })

  expect(draftUsage(message, rate(message), 'card')).toMatchObject({
    kind: 'message',
    idempotencyKey: 'message/msg_1',
    reference: 'chat_7',
    postings: [{ creditAccount: 'message_revenue', amountMicros: 10_000n, quantity: 1 }],
  })
  expect(draftUsage(givenMessage(), rate(message), 'card').reference).toBe('msg_1')
})

test('a line that came to zero moves no money and has no posting', () => {
  const call = givenCall()
  const card = givenCard({ voice: flatRate('0') })

  const draft = draftUsage(call, rate(call, card), 'card')

  expect(draft.postings.map((posting) => posting.creditAccount)).toEqual([
    'telephony_revenue',
    'recording_revenue',
  ])
  expect(draft.amountMicros).toBe(-101_666n)
})

test('whatever a call costs, what leaves the wallet is what the revenues receive and what the draft says', () => {
  const price = fc
    .integer({ min: 0, max: 99_999_999 })
    .map((digits) => `0.${String(digits).padStart(8, '0')}`)
  fc.assert(
    fc.property(
      price,
      price,
      price,
      fc.double({ min: 0.01, max: 86_400, noNaN: true }),
      (voice, telephony, recording, durationSeconds) => {
        const card = givenCard({
          voice: flatRate(voice),
          telephony: { '1': flatRate(telephony, 6) },
          recording: flatRate(recording, 60),
        })
        const call = givenCall({ durationSeconds })
        const rating = rateUsage(card, call)
        fc.pre(rating.outcome === 'rated')

        const draft = draftUsage(call, rating, 'card')

        expect(draft.amountMicros).toBe(0n - rating.totalMicros)
        expect(walletEffect(draft)).toBe(draft.amountMicros)
        expect(draft.postings.every((posting) => posting.amountMicros > 0n)).toBe(true)
      },
    ),
  )
})

test('the signup grant is $10 and has the same name each time, so that it is given once', () => {
  const given = {
    workspaceId: workspaceId.parse('ws_1'),
    amountMicros: signupGrantMicros,
    occurredAt: new Date(0),
  }

  const draft = draftSignupGrant(given)

  expect(draft).toMatchObject({
    kind: 'grant',
    idempotencyKey: 'grant/signup',
    reference: 'ws_1',
    amountMicros: 10_000_000n,
    rateCardId: null,
    postings: [{ debitAccount: 'signup_grants', creditAccount: 'wallet', amountMicros: 10_000_000n }],
  })
})

describe('a draft is refused', () => {
  const posting: PostingDraft = {
    debitAccount: 'wallet',
    creditAccount: 'voice_revenue',
    amountMicros: micros(5n),
    quantity: 1,
    prefix: null,
  }

  test.each([
    ['when its postings move something else than it says', -4n, [posting]],
    ['when it has the sign wrong', 5n, [posting]],
    ['when it has no posting', 0n, []],
    ['when a posting moves nothing', 0n, [{ ...posting, amountMicros: micros(0n) }]],
    ['when a posting moves less than nothing', 5n, [{ ...posting, amountMicros: micros(-5n) }]],
    ['when a posting passes the wallet by', 0n, [{ ...posting, debitAccount: 'adjustments' as const }]],
    [
      'when a posting moves money from the wallet to itself',
      0n,
      [{ ...posting, creditAccount: 'wallet' as const }],
    ],
  ])('%s', (_case, amount, postings) => {
    expect(() => {
      assertBalanced({ idempotencyKey: 'call/call_1', amountMicros: micros(amount), postings })
    }).toThrow(
      expect.objectContaining({ code: 'unbalanced_draft', fields: { idempotencyKey: 'call/call_1' } }),
    )
  })

  test('when a grant gives nothing', () => {
    const nothing = {
      workspaceId: workspaceId.parse('ws_1'),
      amountMicros: micros(0n),
      occurredAt: new Date(0),
    }

    expect(() => draftSignupGrant(nothing)).toThrow(expect.objectContaining({ code: 'unbalanced_draft' }))
  })
})

test('every account has a title of its own, and what we owe grows by credit', () => {
  const titles = accounts.map((account) => describeAccount(account).title)

  expect(new Set(titles).size).toBe(accounts.length)
  expect(describeAccount('wallet').normalSide).toBe('credit')
  expect(describeAccount('paddle_clearing').normalSide).toBe('debit')
})

function rate(event: UsageEvent, card = givenCard()): RatedUsage {
  const rating = rateUsage(card, event)
  if (rating.outcome !== 'rated') throw new Error(rating.outcome)
  return rating
}

function walletEffect(draft: LedgerTransactionDraft): bigint {
  let effect = 0n
  for (const { debitAccount, creditAccount, amountMicros } of draft.postings) {
    if (debitAccount === 'wallet') effect -= amountMicros
    if (creditAccount === 'wallet') effect += amountMicros
  }
  return effect
}

/** Any wallet's history, and any question to it. */
import * as fc from 'fast-check'

import { ledgerTransactionKinds } from '../../billing/ledger-draft.ts'
import { kindsOfType, walletTransactionTypes } from '../../billing/wallet-transaction.ts'
import type { WalletTransactionFilter } from '../../db/wallet-transaction.ts'
import type { HistoryRow } from './given-history.ts'

export const noon = Date.parse('2026-03-01T12:00:00Z')

/** Posted at any of 50 hours, in no order. */
export const anyRow: fc.Arbitrary<HistoryRow> = fc.record({
  kind: fc.constantFrom(...ledgerTransactionKinds),
  reference: fc.constantFrom('call_1', 'call_2', 'chat_1', 'topup_1', '+14155550100'),
  agentId: fc.constantFrom(null, 'a1', 'a2'),
  campaignId: fc.constantFrom(null, 'c1', 'c2'),
  amountMicros: fc.bigInt(-5_000_000n, 5_000_000n).filter((amount) => amount !== 0n),
  postedAt: fc.integer({ min: 0, max: 50 }).map((hours) => new Date(noon + hours * 3_600_000)),
})

/** Rows a minute apart, by a clock that now and then is put back by up to four hours. */
export function sampleHistory(rows: number, seed: number): HistoryRow[] {
  const steps = fc.sample(fc.integer({ min: -240, max: 120_000 }), { numRuns: rows, seed })
  let at = noon
  return fc.sample(anyRow, { numRuns: rows, seed }).map((row, index) => {
    const step = steps[index] ?? 0
    at += step < 0 ? step * 60_000 : 60_000
    return { ...row, postedAt: new Date(at) }
  })
}

const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined })

const anyHour = fc.integer({ min: -1, max: 51 }).map((hours) => new Date(noon + hours * 3_600_000))

export const anyFilter: fc.Arbitrary<WalletTransactionFilter> = fc.record({
  kinds: optional(
    fc.oneof(
      fc.constantFrom(...walletTransactionTypes).map(kindsOfType),
      fc.subarray([...ledgerTransactionKinds]),
    ),
  ),
  reference: optional(fc.constantFrom('call_1', 'chat_1', 'topup_1', '+14155550100', 'nothing')),
  agentId: optional(fc.constantFrom('a1', 'nobody')),
  campaignId: optional(fc.constantFrom('c1', 'nothing')),
  from: optional(anyHour),
  until: optional(anyHour),
})

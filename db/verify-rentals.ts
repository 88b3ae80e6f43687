/**
 * Does every rental payment still follow from its number? The anniversary is computed again from the anchor and the fee from the card
 * that the transaction names, and compared with what is booked; and every number has the periods that it says it has.
 */
import { sql } from 'kysely'

import { rentalPeriod } from '../billing/anniversary.ts'
import type { PhoneNumberId, WorkspaceId } from '../billing/ids.ts'
import { rateRental } from '../billing/rating.ts'
import type { Micros } from '../billing/money.ts'
import { textArray } from './array-parameter.ts'
import type { RateBook } from './rate-book.ts'
import { rentalPost } from './rent-book.ts'
import type { Tx } from './schema.ts'
import { usageName } from './usage-event.ts'
import { linesOf, type BookedUsage } from './verify-usage.ts'

/** A period with what its number says of itself. */
export type RentalFact = {
  workspaceId: WorkspaceId
  phoneNumberId: PhoneNumberId
  phoneNumber: string
  anchorAt: Date
  period: number
  startsAt: Date
  endsAt: Date
  amountMicros: Micros
  rateCardId: string
  billedAt: Date
}

/** What does not follow, by `usageName`; the names of transactions that are explained are not in it. */
export async function findUnexplainedRentals(
  trx: Tx,
  booked: readonly BookedUsage[],
  prices: RateBook,
): Promise<Map<string, string>> {
  const facts = await findRentalFacts(trx, booked)
  return new Map(
    booked.flatMap((transaction) => {
      const name = usageName(transaction)
      const why = explain(transaction, facts.get(name), prices)
      return why === null ? [] : [[name, why] as const]
    }),
  )
}

/** The periods that transactions are about, by `usageName`. */
export async function findRentalFacts(
  trx: Tx,
  booked: readonly Pick<BookedUsage, 'workspaceId' | 'key'>[],
): Promise<Map<string, RentalFact>> {
  if (booked.length === 0) return new Map()
  const { rows } = await sql<RentalFact & { key: string }>`
    select n.workspace_id as "workspaceId", booked.key, n.phone_number_id as "phoneNumberId",
      n.phone_number as "phoneNumber", n.anchor_at as "anchorAt", p.period, p.starts_at as "startsAt",
      p.ends_at as "endsAt", p.amount_micros as "amountMicros", p.rate_card_id as "rateCardId", p.billed_at as "billedAt"
    from unnest(
      ${textArray(booked.map((transaction) => transaction.workspaceId))}::text[],
      ${textArray(booked.map((transaction) => transaction.key))}::text[]
    ) as booked (workspace_id, key)
    join phone_number n on n.workspace_id = booked.workspace_id and n.phone_number_id = split_part(booked.key, '/', 2)
    join rental_period p on p.workspace_id = n.workspace_id and p.phone_number_id = n.phone_number_id
      and to_char(p.starts_at at time zone 'UTC', 'YYYY-MM-DD') = split_part(booked.key, '/', 3)`.execute(trx)
  return new Map(rows.map((row) => [usageName(row), row]))
}

/** Null when the transaction follows from its period. */
function explain(booked: BookedUsage, fact: RentalFact | undefined, prices: RateBook): string | null {
  if (fact === undefined) return 'is booked, and no rental period says so'
  const due = rentalPeriod(fact.anchorAt, fact.period)
  if (due.startsAt.getTime() !== fact.startsAt.getTime() || due.endsAt.getTime() !== fact.endsAt.getTime()) {
    return `is for a month from ${fact.startsAt.toISOString()}; number ${fact.period} of this rental begins at ${due.startsAt.toISOString()}`
  }
  const card =
    booked.rateCardId === null
      ? null
      : prices.cardNamed(booked.rateCardId, { ...booked, startedAt: fact.startsAt })
  if (card === null) return `names the rate card ${booked.rateCardId}, which is not there`
  const { draft, payloadHash } = rentalPost({
    ...fact,
    rateCardId: card.id,
    amountMicros: rateRental(card).totalMicros,
  })
  if (draft.idempotencyKey !== booked.key || payloadHash !== booked.payloadHash.toString('hex')) {
    return 'was booked for a month or a fee other than the one that its number has'
  }
  return linesOf(draft.postings) === linesOf(booked.postings)
    ? null
    : `has the postings ${linesOf(booked.postings)}; computed again they are ${linesOf(draft.postings)}`
}

/**
 * Shape: numbers that say other periods than there are, or another state than their last step; months that were paid without a
 *        transaction, or that cost nothing although the card has a price.
 */
export async function findWrongNumbers(
  trx: Tx,
  prices: RateBook,
  most: number,
): Promise<{ workspaceId: string; where: string; what: string }[]> {
  const { rows } = await sql<WrongNumber>`
    with periods as (
      select workspace_id, phone_number_id, count(*)::int as billed, max(period) + 1 as next, max(ends_at) as paid_until
      from rental_period group by workspace_id, phone_number_id
    ), last_step as (
      select distinct on (workspace_id, phone_number_id) workspace_id, phone_number_id, state
      from phone_number_step order by workspace_id, phone_number_id, step desc
    )
    select n.workspace_id, n.phone_number_id as number,
      format('says that %s months are paid, until %s; there are %s, until %s', n.periods_billed, n.paid_until,
        coalesce(p.billed, 0), coalesce(p.paid_until, n.anchor_at)) as what
    from phone_number n left join periods p using (workspace_id, phone_number_id)
    where n.periods_billed <> coalesce(p.billed, 0) or coalesce(p.next, 0) <> coalesce(p.billed, 0)
      or n.paid_until <> coalesce(p.paid_until, n.anchor_at)
    union all
    select n.workspace_id, n.phone_number_id, format('is %s; its last step made it %s', n.state, coalesce(s.state, 'nothing'))
    from phone_number n left join last_step s using (workspace_id, phone_number_id)
    where n.state is distinct from s.state
    union all
    select p.workspace_id, p.phone_number_id, format('has paid for month %s, and the ledger has no transaction of it', p.period)
    from rental_period p
    join phone_number n using (workspace_id, phone_number_id)
    left join ledger_transaction t on t.workspace_id = p.workspace_id and t.wallet_sequence = p.wallet_sequence
      and t.kind = 'number_rental' and t.amount_micros = -p.amount_micros and t.reference = n.phone_number
      and t.rate_card_id = p.rate_card_id and t.posted_at = p.billed_at
      and t.idempotency_key = 'rental/' || p.phone_number_id || '/' || to_char(p.starts_at at time zone 'UTC', 'YYYY-MM-DD')
    where p.amount_micros <> 0 and t.workspace_id is null
    order by 1, 2 limit ${most}`.execute(trx)
  const found = [...rows, ...(await findUnpaid(trx, prices))].slice(0, most)
  return found.map((row) => ({
    workspaceId: row.workspace_id,
    where: `number ${row.number}`,
    what: row.what,
  }))
}

type WrongNumber = { workspace_id: string; number: string; what: string }

/** Months that cost nothing have no transaction to be computed again from; it is the card that has to say so. */
async function findUnpaid(trx: Tx, prices: RateBook): Promise<WrongNumber[]> {
  const free = await trx
    .selectFrom('rental_period')
    .select([
      'workspace_id',
      'phone_number_id as number',
      'period',
      'starts_at as startedAt',
      'billed_at as postedAt',
      'rate_card_id',
    ])
    .where('wallet_sequence', 'is', null)
    .execute()
  return free.flatMap((row) => {
    const card = prices.cardNamed(row.rate_card_id, { workspaceId: row.workspace_id, ...row })
    const isFree = card !== null && rateRental(card).totalMicros === 0n
    const what = `has month ${row.period} for nothing; the rate card ${row.rate_card_id} does not say so`
    return isFree ? [] : [{ workspace_id: row.workspace_id, number: row.number, what }]
  })
}

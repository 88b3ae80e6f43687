/** The rate book: all prices there are, read once and held in memory until a new price appears. */
import { sql } from 'kysely'

import { BillingError } from '../billing/billing-error.ts'
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../billing/ids.ts'
import {
  assertRateCardJson,
  parseRateCard,
  parseWorkspaceRate,
  rateCardInForce,
  withWorkspaceRates,
  type RateCard,
  type WorkspaceRate,
} from '../billing/rate-card.ts'
import { defaultRateCardJson } from '../billing/rates-default.ts'
import { telephonyPrefixes } from '../billing/telephony-prefixes.ts'
import { readClock } from './clock.ts'
import type { Db, Tx } from './schema.ts'

export type RateBook = {
  version: bigint
  /** The card that prices usage of a workspace that began then, its own rates included; null before the first card. */
  cardFor: (workspaceId: string, startedAt: Date) => RateCard | null
  /** The card of that name, with the rates the workspace had then: what a booked transaction was priced with. */
  cardNamed: (
    rateCardId: string,
    booked: { workspaceId: string; startedAt: Date; postedAt: Date },
  ) => RateCard | null
}

/** Gives the rate book of a version, reading it only when it is not the one read last. */
export function createRateBookCache(): (trx: Tx, version: bigint) => Promise<RateBook> {
  let book: RateBook | null = null
  return async (trx, version) => {
    if (book?.version !== version) book = await readRateBook(trx)
    return book
  }
}

/** Reads the version first: a price that is added meanwhile makes the next look at the version read again. */
export async function readRateBook(db: Db): Promise<RateBook> {
  const { version } = await db.selectFrom('price_list').select('version').executeTakeFirstOrThrow()
  const cards = await readRateCards(db)
  const { agreed, unreadableFrom } = await readWorkspaceRates(db)
  const priced = new Map<string, RateCard>()

  /** `knownAt` leaves out what was agreed after it: a sender's clock may have been ahead of the agreement. */
  const withAgreed = (
    card: RateCard,
    workspaceId: string,
    startedAt: Date,
    knownAt: Date | null,
  ): RateCard => {
    const rates = (agreed.get(workspaceId) ?? []).filter(
      (rate) => rate.effectiveFrom <= startedAt && (knownAt === null || rate.agreedAt <= knownAt),
    )
    if (rates.length === 0) return card
    const name = `${card.id}/${rates.map((rate) => rate.name).join()}`
    const found = priced.get(name) ?? withWorkspaceRates(card, rates, startedAt)
    priced.set(name, found)
    return found
  }
  return {
    version,
    cardFor: (workspaceId, startedAt) => {
      const unreadable = unreadableFrom.get(workspaceId)
      if (unreadable !== undefined && unreadable <= startedAt) return null
      const card = rateCardInForce(cards.values(), startedAt)
      return card === null ? null : withAgreed(card, workspaceId, startedAt, null)
    },
    cardNamed: (rateCardId, { workspaceId, startedAt, postedAt }) => {
      const card = cards.get(rateCardId)
      return card === undefined ? null : withAgreed(card, workspaceId, startedAt, postedAt)
    },
  }
}

/** Where prices come from on a new database. Does nothing when there is a rate card already, or when another one is quicker. */
export async function seedDefaultRateCard(trx: Tx): Promise<void> {
  await trx.selectFrom('price_list').select('version').forUpdate().executeTakeFirstOrThrow()
  const known = await trx.selectFrom('rate_card').select('rate_card_id').limit(1).executeTakeFirst()
  if (known !== undefined) return
  await publishRateCard(trx, {
    rateCardId: 'standard',
    effectiveFrom: new Date('2020-01-01T00:00:00Z'),
    card: defaultRateCardJson,
    places: new Map(telephonyPrefixes.map(([prefix, place]) => [prefix, place])),
  })
}

/**
 * Adds a rate card. It can never be changed or removed; a newer one takes its place.
 *
 * Throws: BillingError `malformed_rate_card`, naming every field that is wrong, or `rate_card_exists` when the name or the
 *         date is taken.
 */
export async function publishRateCard(
  trx: Tx,
  { rateCardId, effectiveFrom, card, places }: NewRateCard,
): Promise<void> {
  assertRateCardJson(card)
  const taken = await trx
    .selectFrom('rate_card')
    .select(['rate_card_id', 'effective_from'])
    .where((where) =>
      where.or([where('rate_card_id', '=', rateCardId), where('effective_from', '=', effectiveFrom)]),
    )
    .executeTakeFirst()
  if (taken !== undefined) {
    const from = taken.effective_from.toISOString()
    throw new BillingError(
      'rate_card_exists',
      `There is a rate card ${taken.rate_card_id} from ${from}: choose others`,
    )
  }
  await trx
    .insertInto('rate_card')
    .values({
      rate_card_id: rateCardId,
      effective_from: effectiveFrom,
      voice: JSON.stringify(card.voice),
      recording: JSON.stringify(card.recording),
      inbound: card.inbound === undefined ? null : JSON.stringify(card.inbound),
      message_usd: card.message_usd,
      ...(card.number_month_usd === undefined ? {} : { number_month_usd: card.number_month_usd }),
    })
    .execute()
  const telephony = Object.entries(card.telephony)
  await sql`
    insert into telephony_rate (rate_card_id, prefix, place, rate)
    select ${rateCardId}, * from unnest(
      ${telephony.map(([prefix]) => prefix)}::text[],
      ${telephony.map(([prefix]) => places?.get(prefix) ?? '')}::text[],
      ${telephony.map(([, rate]) => JSON.stringify(rate))}::jsonb[])`.execute(trx)
}

type NewRateCard = {
  rateCardId: string
  effectiveFrom: Date
  /** The JSON of a rate card file. */
  card: unknown
  /** What each prefix is called, for people. */
  places?: ReadonlyMap<string, string>
}

/**
 * Gives one workspace a rate of its own, from an instant on, and from now on when none is given. It cannot begin in the
 * past: what is booked was priced without it.
 *
 * Shape:  `rate` is the JSON of a rate, or for messages and numbers a decimal string; the result is when it begins.
 * Throws: BillingError `malformed_rate`, naming every field that is wrong, or `backdated_rate`.
 */
export async function agreeWorkspaceRate(
  trx: Tx,
  agreed: Omit<StoredWorkspaceRate, 'effectiveFrom'> & { effectiveFrom: Date | null },
): Promise<Date> {
  const now = await readClock(trx)
  const effectiveFrom = agreed.effectiveFrom ?? now
  if (effectiveFrom < now) {
    throw new BillingError(
      'backdated_rate',
      `An agreed rate cannot begin in the past (${effectiveFrom.toISOString()})`,
    )
  }
  parseWorkspaceRate({ ...agreed, effectiveFrom })
  await trx
    .insertInto('workspace_rate')
    .values({
      workspace_id: agreed.workspaceId,
      meter: agreed.meter,
      prefix: agreed.prefix ?? '',
      effective_from: effectiveFrom,
      created_at: now,
      rate: JSON.stringify(agreed.rate),
    })
    .execute()
  return effectiveFrom
}

type StoredWorkspaceRate = Parameters<typeof parseWorkspaceRate>[0] & { workspaceId: WorkspaceId }

export type RateCardEntry = { rateCardId: string; effectiveFrom: Date; prefixes: bigint }
export type AgreedRateEntry = {
  workspaceId: WorkspaceId
  effectiveFrom: Date
  meter: WorkspaceRate['meter']
  prefix: string
}

/** What there is, the newest first. */
export async function listRateCards(db: Db): Promise<{ cards: RateCardEntry[]; agreed: AgreedRateEntry[] }> {
  const cards = await db
    .selectFrom('rate_card')
    .leftJoin('telephony_rate', 'telephony_rate.rate_card_id', 'rate_card.rate_card_id')
    .select((expression) => [
      'rate_card.rate_card_id as rateCardId',
      'effective_from as effectiveFrom',
      expression.fn.count<bigint>('telephony_rate.prefix').as('prefixes'),
    ])
    .groupBy(['rate_card.rate_card_id', 'effective_from'])
    .orderBy('effective_from', 'desc')
    .execute()
  const agreed = await db
    .selectFrom('workspace_rate')
    .select(['workspace_id as workspaceId', 'effective_from as effectiveFrom', 'meter', 'prefix'])
    .orderBy('effective_from', 'desc')
    .execute()
  return { cards, agreed }
}

async function readRateCards(db: Db): Promise<Map<string, RateCard>> {
  const cards = await db.selectFrom('rate_card').selectAll().orderBy('effective_from').execute()
  const rates = await db.selectFrom('telephony_rate').select(['rate_card_id', 'prefix', 'rate']).execute()
  const telephony = Map.groupBy(rates, (rate) => rate.rate_card_id)
  return new Map(
    cards.map((card) => [
      card.rate_card_id,
      parseRateCard(
        {
          voice: card.voice,
          recording: card.recording,
          message_usd: card.message_usd,
          number_month_usd: card.number_month_usd,
          telephony: Object.fromEntries(
            (telephony.get(card.rate_card_id) ?? []).map((rate) => [rate.prefix, rate.rate]),
          ),
          ...(card.inbound === null ? {} : { inbound: card.inbound }),
        },
        { id: card.rate_card_id, effectiveFrom: card.effective_from },
      ),
    ]),
  )
}

type AgreedRate = WorkspaceRate & { name: string; agreedAt: Date }

type AgreedRates = {
  agreed: Map<string, AgreedRate[]>
  /** Workspaces with a rate that nobody can read, and since when: they have no price, and everybody else has. */
  unreadableFrom: Map<string, Date>
}

async function readWorkspaceRates(db: Db): Promise<AgreedRates> {
  const rows = await db.selectFrom('workspace_rate').selectAll().orderBy('effective_from').execute()
  const unreadableFrom = new Map<string, Date>()
  const rates = rows.flatMap((row, index): AgreedRate[] => {
    try {
      const rate = parseWorkspaceRate({
        workspaceId: workspaceIdSchema.parse(row.workspace_id),
        effectiveFrom: row.effective_from,
        meter: row.meter,
        prefix: row.prefix === '' ? null : row.prefix,
        rate: row.rate,
      })
      return [{ ...rate, name: String(index), agreedAt: row.created_at }]
    } catch {
      if (!unreadableFrom.has(row.workspace_id)) unreadableFrom.set(row.workspace_id, row.effective_from)
      return []
    }
  })
  return { agreed: Map.groupBy(rates, (rate): string => rate.workspaceId), unreadableFrom }
}

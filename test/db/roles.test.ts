// What each kind of process may do, seen from its own login: a member of its role, owner of nothing, no superuser.
import { randomBytes } from 'node:crypto'

import { sql, type RawBuilder } from 'kysely'
import { describe, expect } from 'vitest'

import { defaultChargeTiming } from '../../billing/top-up.ts'
import { claimCharge } from '../../db/charge.ts'
import { connect } from '../../db/connect.ts'
import { countRefusedWebhooks, receivePaddleEvent, wakeEventsOfCredits } from '../../db/paddle-event.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import type { Db } from '../../db/schema.ts'
import { verifyLedger } from '../../db/verify.ts'
import { findBalance } from '../../db/wallet.ts'
import { openWorkspace } from '../../db/workspace.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, callArrival, newId, newWorkspaceId } from '../support/given.ts'
import { bringAdjustment, bringTransaction, givenRecharge } from '../support/given-money-in.ts'
import { aCharge, anAdjustment, at } from '../support/paddle-news.ts'
import { sqlStateOf } from '../support/refusal.ts'

const insufficientPrivilege = '42501'

const test = base.extend<{ worker: Db; auditor: Db }>({
  worker: [
    async ({ place, db }, use) => {
      await asMemberOf(db, place.databaseUrl, { role: 'wallet_worker', profile: 'worker' }, use)
    },
    { scope: 'file' },
  ],
  auditor: [
    async ({ place, db }, use) => {
      await asMemberOf(db, place.databaseUrl, { role: 'wallet_auditor', profile: 'auditor' }, use)
    },
    { scope: 'file' },
  ],
})

const tables = [
  'workspace',
  'wallet',
  'account',
  'ledger_transaction',
  'posting',
  'usage_event',
  'price_list',
  'rate_card',
  'telephony_rate',
  'workspace_rate',
  'staged_job',
  'heartbeat',
  'paddle_customer',
  'saved_card',
  'auto_recharge',
  'top_up',
  'top_up_step',
  'paddle_adjustment',
  'paddle_event',
  'refused_webhook',
  'audit_log',
  'hold',
  'campaign',
  'api_key',
  'idempotent_request',
  'schedule',
  'schedule_round',
  'ledger_block',
  'ledger_block_facet',
  'ledger_block_hour',
  'ledger_block_line',
  'phone_number',
  'rental_period',
  'phone_number_step',
  'dashboard_session',
  'sign_in_link',
]

describe('a worker', () => {
  test('can do its work: open a workspace and post its usage', async ({ worker }) => {
    const workspaceId = newWorkspaceId()

    await worker.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
    const outcomes = await worker
      .transaction()
      .execute((trx) => postUsage(trx, [callArrival(aCall(workspaceId))], createRateBookCache()))

    expect(outcomes).toMatchObject([{ outcome: 'posted', balanceAfterMicros: 9_820_000n }])
  })

  test('can do its work: save a card, decide a recharge, charge it, credit it, take it back and freeze the wallet', async ({
    worker,
  }) => {
    const { payer, topUp } = await givenRecharge(worker)
    const charge = await claimCharge(worker, topUp, defaultChargeTiming)
    const paid = aCharge(payer, topUp)

    const credited = await bringTransaction(worker, paid)
    const charged = await bringAdjustment(worker, anAdjustment(paid, { action: 'chargeback' }))
    const eventId = newId('evt')
    await worker
      .transaction()
      .execute((trx) => receivePaddleEvent(trx, { eventId, eventType: 'any', occurredAt: at(0), body: '{}' }))
    await wakeEventsOfCredits(worker)
    await countRefusedWebhooks(worker, new Map([['bad_signature', 1]]))

    expect(charge).toMatchObject({ state: 'submitting' })
    expect([credited.outcome, charged.outcome]).toEqual(['credited', 'applied'])
    expect(await findBalance(worker, payer.workspaceId)).toBe(10_000_000n)
  })

  const attempts = {
    'change a ledger transaction': sql`update ledger_transaction set amount_micros = 1`,
    'delete ledger transactions': sql`delete from ledger_transaction`,
    'change a posting': sql`update posting set amount_micros = 1`,
    'delete postings': sql`delete from posting`,
    'empty the ledger': sql`truncate ledger_transaction, posting`,
    'disable a trigger': sql`alter table ledger_transaction disable trigger all`,
    'drop a trigger': sql`drop trigger posting_is_append_only on posting`,
    'drop a constraint': sql`alter table ledger_transaction drop constraint ledger_transaction_is_booked_once`,
    'switch triggers off for its session': sql`set session_replication_role = replica`,
    'add a rate card': sql`insert into rate_card (rate_card_id, effective_from, voice, recording, message_usd)
      values ('free', now(), '{}', '{}', '0')`,
    'add a telephony rate': sql`insert into telephony_rate (rate_card_id, prefix, place, rate) values ('standard', '9', '', '{}')`,
    'agree a rate with itself': sql`insert into workspace_rate (workspace_id, meter, effective_from, rate)
      values ('ws_any', 'voice', now(), '{}')`,
    'touch the price list': sql`update price_list set version = 0`,
    'add an account': sql`insert into account (account, title, normal_side) values ('wallet', 'Mine', 'credit')`,
    'change what it was told': sql`update usage_event set payload = '{}'`,
    'forget what it was told': sql`delete from usage_event`,
    'delete a wallet': sql`delete from wallet`,
    'forget a customer': sql`delete from paddle_customer`,
    'forget a card': sql`delete from saved_card`,
    'forget settings': sql`delete from auto_recharge`,
    'forget a top-up': sql`delete from top_up`,
    'change the steps of a top-up': sql`update top_up_step set state = 'succeeded'`,
    'forget the steps of a top-up': sql`delete from top_up_step`,
    'forget a refund': sql`delete from paddle_adjustment`,
    'forget what Paddle told': sql`delete from paddle_event`,
    'forget which webhooks were refused': sql`delete from refused_webhook`,
    'change the audit log': sql`update audit_log set actor = 'somebody else'`,
    'forget the audit log': sql`delete from audit_log`,
    'empty what it may only add to': sql`truncate top_up_step, audit_log, paddle_event, top_up`,
    'drop what stops a double charge': sql`drop index top_up_one_open_recharge`,
    'change a closed block': sql`update ledger_block_facet set used_micros = 0`,
    'delete a closed block': sql`delete from ledger_block`,
    'give a wallet to somebody else': sql`update wallet set workspace_id = 'ws_mine'`,
    'delete a workspace': sql`delete from workspace`,
    'change what Paddle told': sql`update paddle_event set body = '{}'`,
    'change what a top-up was for': sql`update top_up set amount_micros = 1`,
    'give a wallet another customer': sql`update paddle_customer set customer_id = 'ctm_mine'`,
    'rent a number earlier': sql`update phone_number set anchor_at = now()`,
    'make a number another one': sql`update phone_number set phone_number = '+14155550199'`,
    'forget a number': sql`delete from phone_number`,
    'change what a month cost': sql`update rental_period set amount_micros = 0`,
    'forget a month': sql`delete from rental_period`,
    'change the steps of a number': sql`update phone_number_step set state = 'active'`,
    'forget the steps of a number': sql`delete from phone_number_step`,
    'empty the months': sql`truncate rental_period, phone_number_step`,
    'become somebody else': sql`set role postgres`,
    'make a table': sql`create table pocket (money bigint)`,
  } satisfies Record<string, RawBuilder<unknown>>

  test.for(Object.entries(attempts))('cannot %s', async ([, statement], { worker }) => {
    expect(await sqlStateOf(worker, statement)).toBe(insufficientPrivilege)
  })
})

describe('an auditor', () => {
  test('can read everything, and verify the ledger', async ({ auditor }) => {
    const unreadable = []
    for (const table of tables) {
      const code = await sqlStateOf(auditor, sql`select * from ${sql.table(table)} limit 1`)
      if (code !== null) unreadable.push([table, code])
    }

    expect(unreadable).toEqual([])
    expect((await verifyLedger(auditor)).breaks).toEqual([])
  })

  test('cannot write anything', async ({ db, auditor }) => {
    const { rows: rights } = await sql<{ name: string; right: string }>`
      select name, "right" from unnest(${tables}::text[]) as name, unnest(array['insert', 'update', 'references']) as "right"
      where has_any_column_privilege('wallet_auditor', name, "right")
      union all
      select name, "right" from unnest(${tables}::text[]) as name, unnest(array['delete', 'truncate', 'trigger']) as "right"
      where has_table_privilege('wallet_auditor', name, "right")`.execute(db)

    const codes = []
    for (const table of ['wallet', 'ledger_transaction', 'usage_event']) {
      codes.push(await sqlStateOf(auditor, sql`delete from ${sql.table(table)}`))
    }

    expect(rights).toEqual([])
    expect(new Set(codes)).toEqual(new Set([insufficientPrivilege]))
  })
})

test('every table is one that these tests know', async ({ db }) => {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = 'public' and table_type = 'BASE TABLE' and table_name not like 'kysely_%'`.execute(
    db,
  )

  expect(rows.map((row) => row.name).toSorted()).toEqual(tables.toSorted())
})

/** Logs in as a new member of the role, with what every process of that profile sets, for as long as `use` lasts. */
async function asMemberOf(
  owner: Db,
  databaseUrl: string,
  { role, profile }: { role: string; profile: 'worker' | 'auditor' },
  use: (db: Db) => Promise<void>,
): Promise<void> {
  const url = new URL(databaseUrl)
  url.username = `member_${randomBytes(6).toString('hex')}`
  url.password = randomBytes(12).toString('hex')
  const login = sql.id(url.username)
  await sql`create role ${login} login password ${sql.lit(url.password)} in role ${sql.id(role)}`.execute(
    owner,
  )
  const db = connect(url.href, { profile, name: 'member', poolSize: 2 })
  await use(db)
  await db.destroy()
  await sql`drop role ${login}`.execute(owner)
}

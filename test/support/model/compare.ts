/** What the model and Postgres say of everything that is money or decides about money: it must be the same. */
import { sql } from 'kysely'
import { expect } from 'vitest'

import * as model from './wallet-model.ts'
import type { Model, ModelWallet } from './wallet-model.ts'
import { tellOf } from './paddle-commands.ts'
import { type Real, asOpened, sceneAt } from './scene.ts'

export async function compare(m: Model, real: Real): Promise<void> {
  const { rows } = await sql<{ said: Record<string, unknown> }>`
    select jsonb_build_object(
      'balance', w.balance_micros::text, 'held', w.held_micros::text, 'sequence', w.sequence::text,
      'frozen', w.frozen_at is not null,
      'booked', (select jsonb_object_agg(
          case when t.kind = 'grant' then 'grant'
            when t.kind = 'number_rental' then 'rental/' || n.phone_number || '@' || (extract(epoch from n.anchor_at) * 1000)::bigint
              || '/' || split_part(t.idempotency_key, '/', 3)
            else replace(replace(t.idempotency_key, 'paddle_transaction', 'payment'), 'paddle_adjustment', 'adjustment') end,
          t.amount_micros::text)
        from ledger_transaction t
        left join phone_number n on t.kind = 'number_rental' and n.workspace_id = t.workspace_id
          and n.phone_number_id = split_part(t.idempotency_key, '/', 2)
        where t.workspace_id = w.workspace_id),
      'holds', (select coalesce(jsonb_object_agg(call_id, amount_micros || ' ' || state), '{}') from hold h
        where h.workspace_id = w.workspace_id),
      'usage', (select coalesce(jsonb_object_agg(substr(key, 6), state), '{}') from usage_event u
        where u.workspace_id = w.workspace_id and key not like '%#%'),
      'topUps', (select coalesce(jsonb_agg(concat_ws(' ', source, state, amount_micros, credited_micros, submissions)
          order by ${asOpened}), '[]') from top_up t where t.workspace_id = w.workspace_id),
      'recharge', (select concat_ws(' ', last_decision, declines_in_a_row, suspended_at is not null,
          (extract(epoch from cooling_until) * 1000)::bigint) from auto_recharge a where a.workspace_id = w.workspace_id),
      'numbers', (select coalesce(jsonb_agg(concat_ws(' ', phone_number, state, periods_billed,
          (extract(epoch from next_look_at) * 1000)::bigint) order by anchor_at), '[]')
        from phone_number n where n.workspace_id = w.workspace_id)) as said
    from unnest(${real.payers.map(({ workspaceId }) => workspaceId)}::text[]) with ordinality as asked (workspace_id, place)
    join wallet w using (workspace_id) order by place`.execute(real.db)
  expect(rows.map(({ said }) => said)).toEqual(m.wallets.map(saidBy))
}

function saidBy(w: ModelWallet): Record<string, unknown> {
  return {
    balance: String(w.balance),
    held: String(model.heldBy(w)),
    sequence: String(w.booked.size),
    frozen: w.frozen,
    booked: Object.fromEntries([...w.booked].map(([key, amount]) => [key, String(amount)])),
    holds: Object.fromEntries([...w.holds].map(([id, { amount, state }]) => [id, words(amount, state)])),
    usage: Object.fromEntries([...w.usage].map(([id, { state }]) => [id, state])),
    topUps: w.topUps.map((t) => words(t.source, t.state, t.amount, t.credited, t.submissions)),
    recharge:
      w.policy === null ? null : words(w.lastDecision, w.declines, w.suspended ? 't' : 'f', w.coolingUntil),
    numbers: w.numbers.map((n) => words(n.phone, n.state, n.billed, n.nextLook)),
  }
}

function words(...of: (string | number | bigint | null)[]): string {
  return of.filter((each) => each !== null).join(' ')
}

/** At the end of a run: all that Paddle took is credited once it has been told, and nothing else is. */
export async function settleRun(m: Model, real: Real): Promise<void> {
  for (const [index, w] of m.wallets.entries()) {
    const scene = sceneAt(m, real, index)
    for (const payment of w.payments) await tellOf(scene, payment)
    const captured = w.payments
      .filter((each) => each.captured)
      .reduce((total, { amount }) => total + amount, 0n)
    const { rows } = await sql<{ credited: bigint }>`
      select coalesce(sum(amount_micros), 0)::bigint as credited from ledger_transaction
      where kind = 'top_up' and workspace_id = ${scene.payer.workspaceId}`.execute(real.db)
    expect(rows[0]?.credited).toBe(captured)
  }
  await compare(m, real)
}

/** What the commands of the model test work on: two wallets, in the model and in Postgres, at one moment of a clock that stands still. */
import { sql } from 'kysely'

import type { ClaimedCharge } from '../../../db/charge.ts'
import type { Db, Tx } from '../../../db/schema.ts'
import { findTopUp, type TopUp } from '../../../db/top-up.ts'
import { lockWallet, type LockedWallet } from '../../../db/wallet.ts'
import { stopClock } from '../frozen-clock.ts'
import type { GivenPayer } from '../given-money-in.ts'
import type { Model, ModelTopUp, ModelWallet, Payment } from './wallet-model.ts'

/** One run: two wallets in Postgres that nobody else touches, and what Paddle knows of them. */
export type Real = {
  db: Db
  payers: GivenPayer[]
  /** How often each outcome was seen, over all runs: what was never seen was never tested. */
  seen: Map<string, number>
  /** Charges that were sent and whose answers are still on their way. */
  unanswered: { wallet: number; charge: ClaimedCharge; topUp: ModelTopUp; payment: Payment | null }[]
}

/** What a command is done to. */
export type Scene = {
  m: Model
  w: ModelWallet
  real: Real
  payer: GivenPayer
  wallet: number
  now: Date
  /** In one transaction; thrown away at its end when the process is to die there. */
  transact: <Result>(work: (trx: Tx) => Promise<Result>) => Promise<Result>
  underLock: <Result>(work: (trx: Tx, wallet: LockedWallet) => Promise<Result>) => Promise<Result>
}

export type Command = {
  name: string
  /** Does it to both. Shape: the outcome that both gave, for the count. */
  run: (scene: Scene) => Promise<string>
}

export const pick = <Item>(items: readonly Item[], index: number): Item | undefined =>
  items[index % items.length]

export async function pass(m: Model, real: Real, seconds: number): Promise<void> {
  m.now += seconds * 1_000
  await stopClock(real.db, new Date(m.now))
}

export function sceneAt(m: Model, real: Real, wallet: number): Scene {
  const w = m.wallets[wallet]
  const payer = real.payers[wallet]
  if (w === undefined || payer === undefined) throw new Error(`there is no wallet ${wallet}`)
  const transact: Scene['transact'] = (work) => real.db.transaction().execute(work)
  return {
    m,
    w,
    real,
    payer,
    wallet,
    get now() {
      return new Date(m.now)
    },
    transact,
    underLock: (work) =>
      transact(async (trx) => {
        const locked = await lockWallet(trx, payer.workspaceId)
        if (locked === null) throw new Error('the wallet is gone')
        return await work(trx, locked)
      }),
  }
}

/** What both keep top-ups in: as they were opened, and of one moment what was paid before what is then decided. */
export const asOpened = sql`created_at, source = 'auto_recharge'`

/** The top-up that the model has at that place. */
export async function rowOf({ real, payer: { workspaceId } }: Scene, place: number): Promise<TopUp> {
  const { rows } = await sql<{ top_up_id: string }>`
    select top_up_id from top_up where workspace_id = ${workspaceId}
    order by ${asOpened} limit 1 offset ${place}::int`.execute(real.db)
  const row = await findTopUp(real.db, { workspaceId, topUpId: rows[0]?.top_up_id ?? '' })
  if (row === null) throw new Error(`there is no top-up number ${place}`)
  return row
}

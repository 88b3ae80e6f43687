/**
 * Admissions as the API makes them, and as everybody writes them first: one transaction for each request. So many are in flight
 * at once, and each is followed by the next: the clock stops when all are decided.
 */
import { createAdmissionBatch } from '../../api/admission-batch.ts'
import { affordedSeconds, holdFor, type CallToAdmit } from '../../billing/admission.ts'
import { micros } from '../../billing/money.ts'
import { readRateBook, type RateBook } from '../../db/rate-book.ts'
import type { Db, Tx } from '../../db/schema.ts'
import { lockWallet } from '../../db/wallet.ts'
import type { Log } from '../../runtime/log.ts'

const silentAfterMs = 900_000

/** Shape: rejects unless the call was admitted, because all of them can be. */
export type Admit = (call: CallToAdmit) => Promise<void>

export function admitInBatches(db: Db, log: Log): Admit {
  // Nobody here gives up: a call that was left out would make the others look faster.
  const batch = createAdmissionBatch({ db, log, silentAfterMs, patienceMs: 60_000 })
  return async (call) => {
    const { outcome } = await batch.admit(call)
    if (outcome !== 'admitted') throw new Error(`${call.callId} was not admitted: ${outcome}`)
  }
}

/** Its prices are read once, and it takes its own clock for the time: it is spared every round trip that can be spared. */
export async function admitInTransactions(db: Db): Promise<Admit> {
  const prices = await readRateBook(db)
  return async (call) => {
    await db.transaction().execute((trx) => admitOne(trx, call, { prices, now: new Date() }))
  }
}

async function admitOne(
  trx: Tx,
  call: CallToAdmit,
  { prices, now }: { prices: RateBook; now: Date },
): Promise<void> {
  const wallet = await lockWallet(trx, call.workspaceId)
  if (wallet === null) throw new Error(`${call.workspaceId} has no wallet`)
  const known = await trx
    .selectFrom('hold')
    .select('state')
    .where('workspace_id', '=', call.workspaceId)
    .where('call_id', '=', call.callId)
    .executeTakeFirst()
  const card = prices.cardFor(call.workspaceId, now)
  const price = holdFor(card, call, 0)
  const availableMicros = micros(wallet.balanceMicros - wallet.heldMicros)
  if (known !== undefined || price.outcome === 'refused' || availableMicros < price.holdMicros) {
    throw new Error(`${call.callId} was not admitted`)
  }
  affordedSeconds(card, call, availableMicros)
  await trx
    .with('moved', (moved) =>
      moved
        .updateTable('wallet')
        .set({ held_micros: micros(wallet.heldMicros + price.holdMicros) })
        .where('workspace_id', '=', call.workspaceId),
    )
    .insertInto('hold')
    .values({
      workspace_id: call.workspaceId,
      call_id: call.callId,
      amount_micros: price.holdMicros,
      direction: call.direction,
      to_number: call.to ?? null,
      from_number: call.from ?? null,
      recorded: call.recorded,
      agent_id: call.agentId ?? null,
      campaign_id: call.campaignId ?? null,
      started_at: now,
      heard_at: now,
      expires_at: new Date(now.getTime() + silentAfterMs),
    })
    .execute()
}

/** Does `work` for 0, 1, 2 and so on up to `times`, so many at once. */
export async function inFlight(
  times: number,
  atOnce: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const workThrough = async (): Promise<void> => {
    while (next < times) {
      next += 1
      await work(next - 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, workThrough))
}

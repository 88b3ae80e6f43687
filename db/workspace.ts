/** Opening a workspace: its wallet, its signup grant, and whatever arrived before it did. */
import { BillingError } from '../billing/billing-error.ts'
import { genesisHash } from '../billing/hash-chain.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import { draftSignupGrant } from '../billing/ledger-draft.ts'
import { signupGrantMicros } from '../billing/rates-default.ts'
import { readClock } from './clock.ts'
import { hashOfKey, postLedgerTransaction } from './ledger.ts'
import type { Db, Tx } from './schema.ts'
import { requeueUnknownWorkspace } from './set-aside.ts'
import { lockWallet } from './wallet.ts'

export type Opening = { outcome: 'opened'; requeuedEvents: number } | { outcome: 'already_open' }

/**
 * Opens a workspace, once, however often and however concurrently it is asked.
 *
 * Shape: the wallet starts at the signup grant; usage events that were set aside because nobody knew the workspace are
 *        received again, and a job that rings for them is staged.
 */
export async function openWorkspace(
  trx: Tx,
  { workspaceId, name }: { workspaceId: WorkspaceId; name?: string | undefined },
): Promise<Opening> {
  await trx
    .insertInto('workspace')
    .values({ workspace_id: workspaceId, name: name ?? null })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await trx
    .insertInto('wallet')
    .values({ workspace_id: workspaceId, head_hash: genesisHash })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const wallet = await lockWallet(trx, workspaceId)
  if (wallet === null)
    throw new BillingError('wallet_missing', 'The wallet is gone right after it was opened')

  const now = await readClock(trx)
  const draft = draftSignupGrant({ workspaceId, amountMicros: signupGrantMicros, occurredAt: now })
  const payloadHash = hashOfKey(draft.idempotencyKey)
  const grant = await postLedgerTransaction(trx, wallet, { draft, payloadHash }, now)
  if (grant.outcome !== 'posted') return { outcome: 'already_open' }
  return { outcome: 'opened', requeuedEvents: await requeueUnknownWorkspace(trx, workspaceId) }
}

/** Shape: null when it has none, or is not there. */
export async function findWorkspaceName(db: Db, workspaceId: WorkspaceId): Promise<string | null> {
  const row = await db
    .selectFrom('workspace')
    .select('name')
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  return row?.name ?? null
}

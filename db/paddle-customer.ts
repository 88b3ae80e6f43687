/** Who a workspace is at Paddle. Bound by us when the customer is made; money of anybody else is never credited to it. */
import type { WorkspaceId } from '../billing/ids.ts'
import { writeAudit } from './audit-log.ts'
import type { Db, Tx } from './schema.ts'
import type { LockedWallet } from './wallet.ts'

export async function findPaddleCustomer(
  db: Db,
  workspaceId: WorkspaceId,
): Promise<{ customerId: string; email: string } | null> {
  const row = await db
    .selectFrom('paddle_customer')
    .select(['customer_id as customerId', 'email'])
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst()
  return row ?? null
}

/** The workspace of a customer who has exactly one. */
export async function findWorkspaceOfCustomer(db: Db, customerId: string): Promise<WorkspaceId | null> {
  const rows = await db
    .selectFrom('paddle_customer')
    .select('workspace_id')
    .where('customer_id', '=', customerId)
    .limit(2)
    .execute()
  return rows.length === 1 ? (rows[0]?.workspace_id ?? null) : null
}

/** Shape: `bound_to_another` when the workspace has another customer, who stays. */
export async function bindPaddleCustomer(
  trx: Tx,
  wallet: LockedWallet,
  customer: { customerId: string; email: string },
  actor: string,
): Promise<'bound' | 'known' | 'bound_to_another'> {
  const existing = await findPaddleCustomer(trx, wallet.workspaceId)
  if (existing !== null) return existing.customerId === customer.customerId ? 'known' : 'bound_to_another'
  await trx
    .insertInto('paddle_customer')
    .values({ workspace_id: wallet.workspaceId, customer_id: customer.customerId, email: customer.email })
    .execute()
  const detail = { customer_id: customer.customerId }
  await writeAudit(trx, { workspaceId: wallet.workspaceId, actor, action: 'customer.bound', detail })
  return 'bound'
}

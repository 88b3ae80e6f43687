/** The numbers whose fee falls due next. */
import type { WorkspaceId } from '../billing/ids.ts'
import type { RentalDue } from '../dashboard/wallet-page.ts'
import type { Db } from '../db/schema.ts'

/** The soonest first. */
export async function listRentalsDue(_db: Db, _workspaceId: WorkspaceId): Promise<RentalDue[]> {
  return []
}

/** Whose a top-up is, for whoever has only its name: the id is unique within a workspace, and in practice everywhere. */
import { sql } from 'kysely'

import type { TopUpId } from '../billing/ids.ts'
import type { Db } from './schema.ts'
import { findTopUp, type TopUp } from './top-up.ts'

/** Shape: null when nobody has it. Reads the whole table: for a person, not for a path that many take. */
export async function findTopUpNamed(db: Db, topUpId: TopUpId): Promise<TopUp | null> {
  const row = await db
    .selectFrom('top_up')
    .select('workspace_id')
    .where(sql`top_up_id`, '=', topUpId)
    .orderBy('created_at')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? null : await findTopUp(db, { workspaceId: row.workspace_id, topUpId })
}

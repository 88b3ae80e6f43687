/** Reading what belongs together: several statements that see the database as it was at one moment. */
import type { Db, Tx } from './schema.ts'

/** Shape: what `read` returns; it may write nothing. */
export async function inOneSnapshot<Result>(db: Db, read: (trx: Tx) => Promise<Result>): Promise<Result> {
  return await db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(read)
}

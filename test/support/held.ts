/** Something that another transaction holds for a while. */
import type { Db, Tx } from '../../db/schema.ts'

/**
 * Does `work` while another transaction is open that has done `hold`, and rolls that back afterwards, however `work` ends:
 * a pool never closes over an open transaction, so a test that forgot one would never end.
 */
export async function whileHeld<Result>(
  db: Db,
  hold: (trx: Tx) => Promise<unknown>,
  work: () => Promise<Result>,
): Promise<Result> {
  const trx = await db.startTransaction().execute()
  try {
    await hold(trx)
    return await work()
  } finally {
    await trx.rollback().execute()
  }
}

/** Do closed blocks say what the ledger says? Computes each again from its rows. */
import { sql, type RawBuilder } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'
import { facets, fullBlocks, hours, lines, rowsIn, type BlockSpan } from './ledger-block.ts'
import type { Tx } from './schema.ts'

const blocksAtOnce = 50n

type WrongBlock = { workspaceId: WorkspaceId; where: string; what: string }

/** Shape: the closed blocks that are not as closing them now would write them, `most` at most. */
export async function findWrongBlocks(trx: Tx, most: number): Promise<WrongBlock[]> {
  const { rows: wallets } = await sql<{ workspaceId: WorkspaceId; end: bigint }>`
    select workspace_id as "workspaceId", max(block) + 1 as end from ledger_block group by workspace_id order by workspace_id`.execute(
    trx,
  )
  const wrong: WrongBlock[] = []
  for (const { workspaceId, end } of wallets) {
    for (let first = 0n; first < end && wrong.length < most; first += blocksAtOnce) {
      wrong.push(...(await findWrongIn(trx, { workspaceId, first, end: first + blocksAtOnce })))
    }
  }
  return wrong.slice(0, most)
}

async function findWrongIn(trx: Tx, span: BlockSpan): Promise<WrongBlock[]> {
  const isInSpan = sql`workspace_id = ${span.workspaceId} and block >= ${span.first} and block < ${span.end}`
  const stored = (columns: RawBuilder<unknown>, table: string): RawBuilder<unknown> =>
    sql`select ${columns} from ${sql.table(table)} where ${isInSpan}`
  const { rows } = await sql<{ block: bigint; what: string }>`
    with ${rowsIn(span)},
    closed as (select block from ledger_block where ${isInSpan})
    ${differing('times', fullBlocks, stored(sql`workspace_id, block, earliest_posted_at, latest_posted_at`, 'ledger_block'))}
    union
    ${differing('kinds, agents and campaigns', facets, stored(sql`workspace_id, block, facet, value, transactions, usages, used_micros`, 'ledger_block_facet'))}
    union
    ${differing('hours', hours, stored(sql`workspace_id, block, hour, usages, used_micros, topped_up_micros`, 'ledger_block_hour'))}
    union
    ${differing('meters and prefixes', lines, stored(sql`workspace_id, block, account, prefix, lines, quantity, amount_micros`, 'ledger_block_line'))}
    order by block, what`.execute(trx)
  return rows.map(({ block, what }) => ({
    workspaceId: span.workspaceId,
    where: `block ${block} (transactions ${block * 1_000n + 1n} to ${block * 1_000n + 1_000n})`,
    what: `has other ${what} than the ledger`,
  }))
}

/** The blocks in which either has a row that the other has not. */
function differing(what: string, computed: RawBuilder<unknown>, stored: RawBuilder<unknown>) {
  const ofClosed = sql`select * from (${computed}) as computed where block in (select block from closed)`
  return sql`
    select block, ${what}::text as what
    from (((${ofClosed}) except (${stored})) union all ((${stored}) except (${ofClosed}))) as difference`
}

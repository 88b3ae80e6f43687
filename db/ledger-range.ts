/**
 * Part of a wallet's ledger, as the statements that read it see it: closed blocks that lie in it whole, and of all others the
 * ledger's rows. Which is which changes nothing in what is found: where no block is closed all of it is read from the rows.
 */
import { sql, type RawBuilder } from 'kysely'

import type { WorkspaceId } from '../billing/ids.ts'

export type LedgerRange = {
  workspaceId: WorkspaceId
  /** Up to this number. */
  newest: bigint
  /** Posted at this instant or later. */
  from?: Date | undefined
  /** Posted before this instant. */
  until?: Date | undefined
}

/**
 * Every block that may have something of the range: `block`, and `is_whole` when it is closed and has nothing but it. A clock that
 * was put back makes blocks whose times overlap; each has its own first and last.
 */
export function blocksIn({ workspaceId, newest, from, until }: LedgerRange): RawBuilder<unknown> {
  const whole = [
    sql`closed.block is not null`,
    sql`(number + 1) * 1000 <= ${newest}`,
    ...(from === undefined ? [] : [sql`closed.earliest_posted_at >= ${from}`]),
    ...(until === undefined ? [] : [sql`closed.latest_posted_at < ${until}`]),
  ]
  const outside = [
    ...(from === undefined ? [] : [sql`closed.latest_posted_at < ${from}`]),
    ...(until === undefined ? [] : [sql`closed.earliest_posted_at >= ${until}`]),
  ]
  return sql`
    select number as block, (${sql.join(whole, sql` and `)}) as is_whole
    from generate_series(0::bigint, (${newest}::bigint - 1) / 1000) as number
    left join ledger_block closed on closed.workspace_id = ${workspaceId} and closed.block = number
    ${outside.length === 0 ? sql`` : sql`where (${sql.join(outside, sql` or `)}) is not true`}`
}

/**
 * The rows of the range that are in no whole block, and fit `conditions` besides: `columns` of each, its `wallet_sequence` and its `block`. The statement
 * has `blocksIn` of the same range as `block_in_range`.
 */
export function rowsBesidesBlocks(
  range: LedgerRange,
  columns: RawBuilder<unknown>,
  conditions: readonly RawBuilder<unknown>[] = [],
): RawBuilder<unknown> {
  // Neighbours are read as one, and by number, whatever the planner thinks of it: "offset 0" keeps it from reading the wallet once
  // for each block.
  return sql`
    select (wallet_sequence - 1) / 1000 as block, row.*
    from (
      select min(block) as first, max(block) as last
      from (
        select block, block - row_number() over (order by block) as island from block_in_range where not is_whole
      ) as besides
      group by island
    ) as span
    cross join lateral (
      select wallet_sequence, ${columns} from ledger_transaction
      where workspace_id = ${range.workspaceId}
        and wallet_sequence > first * 1000 and wallet_sequence <= least(last * 1000 + 1000, ${range.newest})
        and ${sql.join([...timesOf(range), sql`true`, ...conditions], sql` and `)}
      offset 0
    ) as row`
}

function timesOf({ from, until }: LedgerRange): RawBuilder<unknown>[] {
  return [
    ...(from === undefined ? [] : [sql`posted_at >= ${from}`]),
    ...(until === undefined ? [] : [sql`posted_at < ${until}`]),
  ]
}

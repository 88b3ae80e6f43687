/** Are the triggers on that keep what is booked as it is? While one is off rows can be changed, and then it can be on again. */
import { sql } from 'kysely'

import type { Tx } from './schema.ts'
import type { Break } from './verify.ts'

const appendOnly = [
  'account',
  'audit_log',
  'ledger_transaction',
  'phone_number_step',
  'posting',
  'rate_card',
  'rental_period',
  'telephony_rate',
  'top_up_step',
  'workspace_rate',
]

/** Every trigger that no session may do without. */
export const guards: readonly { table: string; trigger: string }[] = [
  ...appendOnly.map((table) => ({ table, trigger: `${table}_is_append_only` })),
  { table: 'ledger_transaction', trigger: 'ledger_transaction_is_whole' },
  { table: 'posting', trigger: 'posting_fits_its_transaction' },
]

export async function findGuardsOff(trx: Tx): Promise<Break[]> {
  const { rows } = await sql<{ trigger: string }>`
    select tgname as trigger from pg_trigger where not tgisinternal and tgenabled = 'A'`.execute(trx)
  const on = new Set(rows.map(({ trigger }) => trigger))
  return guards
    .filter(({ trigger }) => !on.has(trigger))
    .map(({ table, trigger }) => {
      const what = `the trigger ${trigger} is off or gone: rows may have been changed, and can be`
      return { workspaceId: '-', where: table, what }
    })
}

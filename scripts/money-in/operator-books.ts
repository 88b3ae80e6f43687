/** The database as a money-in script uses it: found or started, opened for as long as the work lasts, and let go. */
import { BillingError } from '../../billing/billing-error.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { withStack, type Stack } from '../stack.ts'

export type Books = { db: Db; stack: Stack; signal: AbortSignal }

/** `changes`: whether anything is to be written; who only looks connects as somebody who can only look. */
export async function withBooks<Result>(
  { name, changes }: { name: string; changes: boolean },
  work: (books: Books) => Promise<Result>,
): Promise<Result> {
  return await withStack({ log: note }, async (stack, signal) => {
    const profile = changes ? 'operator' : 'auditor'
    const db = connect(stack.databaseUrl, { profile, name, poolSize: 2 })
    try {
      return await work({ db, stack, signal })
    } finally {
      await db.destroy()
    }
  })
}

/** Who changed something, in the audit log. */
export const actor = 'operator'

/** The answer is on standard output; what is said on the way there is not part of it. */
export function note(message: string): void {
  process.stderr.write(`${message}\n`)
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function unknownWorkspace(workspaceId: WorkspaceId): BillingError {
  return new BillingError(
    'unknown_workspace',
    `there is no workspace ${workspaceId}: npm run -s ledger lists those that have a wallet`,
  )
}

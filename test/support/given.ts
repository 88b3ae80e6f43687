/** Given: the things that most tests begin with. */
import { randomBytes } from 'node:crypto'

import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import type { Db } from '../../db/schema.ts'
import { openWorkspace } from '../../db/workspace.ts'
import { usageArrival, type UsageArrival } from '../../jobs/usage-arrival.ts'

export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`
}

export function newWorkspaceId(): WorkspaceId {
  return workspaceIdSchema.parse(newId('ws'))
}

/** An open workspace with its signup grant of $10. */
export async function givenWorkspace(db: Db, workspaceId = newWorkspaceId()): Promise<WorkspaceId> {
  await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
  return workspaceId
}

/** A call that ended a minute ago; one minute to the United States, not recorded: $0.18. */
export function aCall<Id extends string>(workspaceId: Id, call: Record<string, unknown> = {}) {
  return {
    callId: newId('call'),
    workspaceId,
    startedAt: new Date(Date.now() - 120_000).toISOString(),
    durationSeconds: 60,
    to: '+14155550100',
    recorded: false,
    ...call,
  }
}

export function aMessage(workspaceId: string, message: Record<string, unknown> = {}) {
  return {
    messageId: newId('msg'),
    workspaceId,
    sentAt: new Date(Date.now() - 60_000).toISOString(),
    ...message,
  }
}

export function callArrival(call: Record<string, unknown>): UsageArrival {
  return usageArrival('call', call, new Date())
}

export function messageArrival(message: Record<string, unknown>): UsageArrival {
  return usageArrival('message', message, new Date())
}

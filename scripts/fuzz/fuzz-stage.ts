/**
 * What fuzzing happens on: an API in this process with everything behind it that production has, Paddle being a simulator, and a
 * workspace that has money, a card, keys and a stranger beside it. The database is used up: nobody's own belongs here.
 */
import type { FastifyInstance } from 'fastify'

import { documentOf } from '../../api/openapi.ts'
import type { OpenApiDocument } from '../../api/openapi-document.ts'
import { createServer } from '../../api/server.ts'
import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { readClock } from '../../db/clock.ts'
import { connect } from '../../db/connect.ts'
import { findPaddleCustomer } from '../../db/paddle-customer.ts'
import { applyPaddleSubscription } from '../../db/paddle-subscription.ts'
import { postUsage } from '../../db/post-usage.ts'
import { createRateBookCache } from '../../db/rate-book.ts'
import { readLedger, readWallets } from '../../db/metrics.ts'
import { findCardInUse } from '../../db/saved-card.ts'
import type { ApiKeyScope, Db } from '../../db/schema.ts'
import { verifyLedger } from '../../db/verify.ts'
import { openWorkspace } from '../../db/workspace.ts'
import { usageArrival, type UsageArrival } from '../../jobs/usage-arrival.ts'
import { createPaddleGateway } from '../../paddle/gateway.ts'
import { controlSimulator } from '../../paddle/simulator/control.ts'
import { startPaddleSimulator } from '../../paddle/simulator/simulator.ts'
import { signWebhook } from '../../paddle/simulator/webhook-post.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'
import type { Log } from '../../runtime/log.ts'
import { openWalletWithCard, type Paddle } from '../drills/recharging-wallet.ts'
import { createKnown, type Known } from './likely-values.ts'
import type { Callers } from './requests.ts'

export type FuzzStage = {
  server: FastifyInstance
  document: OpenApiDocument
  callers: Callers
  known: Known
  /** Gives the workspace a card again. */
  refresh: () => Promise<void>
  /** What does not fit in the books by now; empty when everything does. */
  checkBooks: () => Promise<string[]>
  close: () => Promise<void>
}

const operatorKey = 'the-operator-who-lets-it-be-fuzzed'

export async function openFuzzStage({
  databaseUrl,
  log,
}: {
  databaseUrl: string
  log: Log
}): Promise<FuzzStage> {
  const transport = installPaddleTransport()
  const simulator = await startPaddleSimulator()
  const { url, apiKey, productId, setupPriceId, webhookSecret } = simulator
  const control = controlSimulator(url)
  await control.limits({ requestsPerMinute: null, chargesPerHour: null, chargesPerDay: null })
  const gateway = createPaddleGateway({ apiKey, environment: url, productId, setupPriceId })
  // As a role that may do no more than the API: what it is not granted shows.
  const db = connect(databaseUrl, { profile: 'worker', name: 'fuzzed api', poolSize: 8 })
  const owner = connect(databaseUrl, { profile: 'operator', name: 'fuzz', poolSize: 2 })
  const server = createServer({
    db,
    log,
    operatorKey,
    paddle: gateway,
    webhooks: { secrets: [webhookSecret], toleranceMs: 60_000 },
    rateLimit: { perMinute: 1_000_000_000 },
  })
  await server.ready()
  const paddle = { control, gateway }
  const ours = await openRichWorkspace(owner, paddle)
  const strangers = await openStranger(owner)
  return {
    server,
    document: documentOf(server),
    callers: {
      read: await keyOf(owner, ours.workspaceId, 'read'),
      write: await keyOf(owner, ours.workspaceId, 'write'),
      admin: await keyOf(owner, ours.workspaceId, 'admin'),
      stranger: await keyOf(owner, strangers, 'admin'),
      operator: operatorKey,
      sign: (body) => signWebhook(body, { secret: webhookSecret, now: new Date(), policy: {} }),
    },
    known: createKnown({
      workspace_id: [ours.workspaceId, strangers, 'ws_nobody'],
      key_id: ours.spareKeyIds,
      campaign_id: ['campaign_1', 'campaign_2', 'spring sale/ü'],
      call_id: ['call_known1', 'call_known2'],
      agent_id: ['agent_7'],
    }),
    refresh: () => giveCardBack(owner, paddle, ours.workspaceId),
    checkBooks: () => checkBooks(owner),
    close: async () => {
      await server.close()
      await Promise.all([db.destroy(), owner.destroy(), simulator.close()])
      await transport.close()
    },
  }
}

async function openRichWorkspace(
  db: Db,
  paddle: Paddle,
): Promise<{ workspaceId: WorkspaceId; spareKeyIds: string[] }> {
  const workspaceId = workspaceIdSchema.parse('ws_fuzzed')
  await openWalletWithCard(db, paddle, workspaceId)
  const arrivals = Array.from({ length: 60 }, (_none, index) => callOf(workspaceId, index))
  await db.transaction().execute((trx) => postUsage(trx, arrivals, createRateBookCache()))
  const keys = await Promise.all(Array.from({ length: 5 }, () => createKey(db, workspaceId, 'read')))
  return { workspaceId, spareKeyIds: keys.map(({ keyId }) => keyId) }
}

/** A call of a minute, one an hour, some to where nobody has a price for. */
function callOf(workspaceId: WorkspaceId, index: number): UsageArrival {
  const call = {
    callId: `call_posted${index}`,
    workspaceId,
    startedAt: new Date(Date.now() - (index + 1) * 3_600_000).toISOString(),
    durationSeconds: index % 7 === 0 ? 0 : 61.5,
    to: index % 11 === 0 ? '+9990000000' : '+14155550100',
    recorded: index % 2 === 0,
    agentId: 'agent_7',
    campaignId: `campaign_${index % 3}`,
  }
  return usageArrival('call', call, new Date())
}

/** Another one where it was removed, as its customer would save it. */
async function giveCardBack(db: Db, { control, gateway }: Paddle, workspaceId: WorkspaceId): Promise<void> {
  const customer = await findPaddleCustomer(db, workspaceId)
  if (customer === null || (await findCardInUse(db, workspaceId)) !== null) return
  const { subscriptionId } = await control.saveCard({ workspaceId, customerId: customer.customerId })
  const found = await gateway.getSubscription(subscriptionId)
  if (found.outcome !== 'found') throw new Error(`the simulator has no ${subscriptionId}`)
  await db
    .transaction()
    .execute(async (trx) => applyPaddleSubscription(trx, found.subscription, await readClock(trx)))
}

async function openStranger(db: Db): Promise<WorkspaceId> {
  const workspaceId = workspaceIdSchema.parse('ws_stranger')
  await db.transaction().execute((trx) => openWorkspace(trx, { workspaceId }))
  return workspaceId
}

async function keyOf(db: Db, workspaceId: WorkspaceId, scope: ApiKeyScope): Promise<string> {
  return (await createKey(db, workspaceId, scope)).secret
}

function createKey(db: Db, workspaceId: WorkspaceId, scope: ApiKeyScope) {
  return db.transaction().execute((trx) => createApiKey(trx, { workspaceId, scope, createdBy: 'fuzz' }))
}

async function checkBooks(db: Db): Promise<string[]> {
  const [{ breaks }, { imbalanceMicros }, { heldImbalanceMicros }] = [
    await verifyLedger(db),
    await readLedger(db),
    await readWallets(db),
  ]
  return [
    ...breaks.map(({ workspaceId, where, what }) => `${workspaceId}, ${where}: ${what}`),
    ...(imbalanceMicros === 0n ? [] : [`wallets and postings differ by ${imbalanceMicros} micro-dollars`]),
    ...(heldImbalanceMicros === 0n
      ? []
      : [`wallets and holds differ by ${heldImbalanceMicros} micro-dollars`]),
  ]
}

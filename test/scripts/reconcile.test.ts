// Reconcile from the command line: what Paddle has and we do not is adopted, and what does not fit is named with an exit code.
import { describe, expect } from 'vitest'

import { openCheckout } from '../../api/checkout.ts'
import { createServer } from '../../api/server.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import { connect } from '../../db/connect.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps } from '../../db/top-up.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { findBreaks } from '../support/books.ts'
import { captureLog } from '../support/captured-log.ts'
import { test } from '../support/fixtures.ts'
import { newWorkspaceId } from '../support/given.ts'
import { quickCharges, type TestPaddle } from '../support/paddle.ts'
import { until } from '../support/until.ts'
import { givenPaddle, pointTo, run } from './money-in-scene.ts'

describe('reconcile', () => {
  test('books what every lost webhook would have told, to the cent of what Paddle captured', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    await startWorkers({ place: ownPlace, environment: quickCharges })
    const history = await givenHistory(db, paddle)

    const first = await run('reconcile', ['--all'], ownPlace)
    const again = await run('reconcile', [], ownPlace)

    expect(first).toMatchObject({ code: 0 })
    expect(first.stdout).toContain('Adopted now: 2\n')
    expect(first.stdout).toContain(`${history.paidTransactionId.padEnd(32)}        $50.00`)
    expect(first.stdout).toContain('Paddle and the ledger fit.')
    expect(first.stdout).toMatch(/Paddle captured +\$250\.00 {3}3 payments, and 2 for nothing/)
    expect(first.stdout).toMatch(/credited here +\$250\.00/)
    expect(again).toMatchObject({ code: 0 })
    expect(again.stdout).toContain('Adopted now: nothing')
    const { captures } = await paddle.control.journal()
    const captured = captures.filter((capture) => capture.net !== '0')
    expect(Object.fromEntries(await creditsOf(db))).toEqual(
      Object.fromEntries(captured.map(({ transactionId, net }) => [transactionId, BigInt(net) * 10_000n])),
    )
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('gives every credit and refund back to a database that knows nothing', async ({
    ownPlace,
    ownDb: db,
    emptyDatabaseUrl,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workers = await startWorkers({ place: ownPlace, environment: quickCharges })
    await givenHistory(db, paddle)
    await run('reconcile', ['--all'], ownPlace)
    await workers.stop()
    const restored = { ...ownPlace, databaseUrl: emptyDatabaseUrl }
    await run('migrate', [], restored)

    const recent = await run('reconcile', ['--all', '--json'], restored)

    expect(recent.code).toBe(0)
    expect(JSON.parse(recent.stdout)).toMatchObject({
      fits: true,
      captured_usd: '250.000000',
      credited_usd: '250.000000',
      adjustments: 1,
    })
    const fresh = connect(emptyDatabaseUrl, { profile: 'auditor', name: 'test', poolSize: 1 })
    try {
      expect(await moneyInOf(fresh)).toEqual(await moneyInOf(db))
    } finally {
      await fresh.destroy()
    }
    expect(await findBreaks(emptyDatabaseUrl)).toEqual([])
  })

  test('leaves nothing to do for webhooks that come after it', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    await startWorkers({ place: ownPlace, environment: quickCharges })
    await paddle.control.webhooks({ mode: 'hold' })
    const server = createServer({
      db,
      log: captureLog().log,
      webhooks: { secrets: [paddle.environment['PADDLE_WEBHOOK_SECRET'] ?? ''], toleranceMs: 60_000 },
    })
    const url = await server.listen({ host: '127.0.0.1', port: 0 })
    await paddle.control.setWebhookUrl(`${url}/webhooks/paddle`)
    await givenHistory(db, paddle)
    expect(await run('reconcile', ['--all'], ownPlace)).toMatchObject({ code: 0 })
    const before = await moneyInOf(db)

    const { released } = await paddle.control.releaseWebhooks()
    await until('all of them are applied', async () => {
      const events = await db.selectFrom('paddle_event').select('state').execute()
      return events.length >= released && events.every(({ state }) => state !== 'received')
    })
    await server.close()

    expect(released).toBeGreaterThan(10)
    expect(await moneyInOf(db)).toEqual(before)
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('exits with 1 on money that another customer paid, and does not credit it', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, paddle, workspaceId)
    const stranger = await paddle.control.createTransaction({
      amount: '5000',
      customData: { workspace_id: workspaceId },
      priceCustomData: { workspace_id: workspaceId, top_up_id: 'topup_stranger', source: 'checkout' },
    })

    const { code, stdout } = await run('reconcile', [], ownPlace)
    const asJson = await run('reconcile', ['--json'], ownPlace)

    expect(code).toBe(1)
    expect(stdout).toContain('Does not fit: 1')
    expect(stdout).toContain(stranger.transactionId)
    expect(stdout).toContain('paid by another customer than the one of the workspace that it names')
    expect(asJson.code).toBe(1)
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      fits: false,
      misfits: [{ paddle_id: stranger.transactionId, workspace_id: workspaceId, why: 'another_customer' }],
    })
    expect(await creditsOf(db)).toEqual([])
  })

  test('exits with 1 on a credit that Paddle does not know', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workers = await startWorkers({ place: ownPlace, environment: quickCharges })
    const { recharged } = await givenHistory(db, paddle)
    await workers.stop()

    await givenPaddle()
    const { code, stdout } = await run('reconcile', [], ownPlace)

    expect(code).toBe(1)
    expect(stdout).toContain('Does not fit: 2')
    expect(stdout).toContain('Paddle does not know it')
    for (const workspaceId of recharged) expect(stdout).toContain(`credited here  ${workspaceId}`)
  })

  test('exits with 1 and says so when Paddle cannot be asked', async ({ ownPlace }) => {
    const paddle = await givenPaddle()
    await paddle.control.fault({ on: 'any', kind: 'http_500', times: 50 })
    const broken = await run('reconcile', [], ownPlace)
    pointTo({ PADDLE_ENVIRONMENT: 'http://127.0.0.1:9' })
    const away = await run('reconcile', ['--json'], ownPlace)
    pointTo({ PADDLE_API_KEY: '' })
    const nowhere = await run('reconcile', [], ownPlace)

    expect(broken).toMatchObject({ code: 1, stdout: '' })
    expect(broken.stderr).toContain('reconcile: ')
    expect(away).toMatchObject({ code: 1, stdout: '' })
    expect(away.stderr).toContain('Paddle was not reached')
    expect(nowhere).toMatchObject({ code: 1, stdout: '' })
    expect(nowhere.stderr).toContain('there is no Paddle to talk to')
  })

  test.for([
    [['--days', '0'], '--days: expected a whole number from 1 to 3650'],
    [['--since', '2026-02-30'], '--since: expected a date'],
    [['--all', '--days', '3'], '--days, --since and --all: one of them'],
  ] as const)('is misused by %j, and says how', async ([args, why]) => {
    const { code, stderr } = await run('reconcile', args)

    expect(code).toBe(2)
    expect(stderr).toContain(why)
  })
})

/**
 * Two recharges of $100, a checkout of $50 that only Paddle knows was paid, and a refund of $20 of the first recharge that only
 * Paddle knows of.
 */
async function givenHistory(
  db: Db,
  paddle: TestPaddle,
): Promise<{ recharged: WorkspaceId[]; paidTransactionId: string }> {
  const recharged = [newWorkspaceId(), newWorkspaceId()]
  for (const workspaceId of recharged) {
    await openWalletWithCard(db, paddle, workspaceId)
    await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
  }
  const [first, second] = await until('both are credited', async () => {
    const topUps = await listTopUps(db, { states: ['succeeded'], limit: 10 })
    return topUps.length === 2 && topUps
  })
  const payer = {
    workspaceId: second?.workspaceId ?? newWorkspaceId(),
    email: 'a@example.com',
    actor: 'test',
  }
  const checkout = await openCheckout({ db, gateway: paddle.gateway }, payer, {
    amountMicros: micros(50_000_000n),
    saveCard: false,
  })
  if (checkout.outcome !== 'created') throw new Error(`no checkout: ${checkout.outcome}`)
  await paddle.control.payCheckout(checkout.paddleTransactionId)
  await paddle.control.refund({
    transactionId: first?.paddleTransactionId ?? '',
    amount: '2000',
    status: 'approved',
  })
  return { recharged, paidTransactionId: checkout.paddleTransactionId }
}

/** Every credit, by Paddle's transaction. */
async function creditsOf(db: Db): Promise<[string, bigint][]> {
  const rows = await db
    .selectFrom('ledger_transaction')
    .select(['idempotency_key', 'amount_micros'])
    .where('kind', '=', 'top_up')
    .execute()
  return rows.map((row) => [row.idempotency_key.replace('paddle_transaction/', ''), row.amount_micros])
}

/** What Paddle's money did to the ledger, whenever it was booked. */
async function moneyInOf(db: Db) {
  return await db
    .selectFrom('ledger_transaction')
    .select(['workspace_id', 'kind', 'idempotency_key', 'reference', 'amount_micros', 'occurred_at'])
    .where('kind', 'in', ['top_up', 'refund', 'chargeback'])
    .orderBy('workspace_id')
    .orderBy('idempotency_key')
    .execute()
}

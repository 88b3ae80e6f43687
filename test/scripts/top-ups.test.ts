// Top-ups from the command line: every attempt can be told, started and, when nobody knows its end, ended.
import { describe, expect } from 'vitest'

import type { WorkspaceId } from '../../billing/ids.ts'
import { listAudit } from '../../db/audit-log.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { countRefusedWebhooks, decidePaddleEvent, receivePaddleEvent } from '../../db/paddle-event.ts'
import { findUsableCard } from '../../db/saved-card.ts'
import type { Db } from '../../db/schema.ts'
import { findTopUp, listTopUps, moveTopUp, type TopUp } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace, newId, newWorkspaceId } from '../support/given.ts'
import { givenCustomer, givenRecharge, underLock } from '../support/given-money-in.ts'
import { quickCharges } from '../support/paddle.ts'
import { until } from '../support/until.ts'
import { givenPaddle, idIn, pointTo, run } from './money-in-scene.ts'

describe('top-ups --charge', () => {
  test('charges the saved card once, tells each step, and exits with 0 when the wallet is credited', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, paddle, workspaceId)
    await startWorkers({ place: ownPlace })

    const charged = await run('top-ups', [workspaceId, '--charge', '50'], ownPlace)
    const topUpId = idIn(charged.stdout, 'topup')
    const [one, list] = [
      await run('top-ups', [topUpId], ownPlace),
      await run('top-ups', [workspaceId], ownPlace),
    ]

    expect(charged.code).toBe(0)
    expect(charged.stdout).toContain(`${topUpId}  $50.00 from `)
    expect(charged.stdout).toMatch(/\n {2}\S+ \S+ {2}ready +Decided/)
    expect(charged.stdout).toMatch(/Credited \$50\.00 in \S+ s: the balance is \$60\.00\./)
    expect(await findBalance(db, workspaceId)).toBe(60_000_000n)
    const { captures } = await paddle.control.journal()
    expect(captures.filter((capture) => capture.net !== '0')).toMatchObject([{ net: '5000', topUpId }])
    expect(one.code).toBe(0)
    expect(one.stdout.match(/^ {2}\d{4}-\S+ \S+ {2}(\w+)/gm)?.map((line) => line.split(/ +/).at(-1))).toEqual(
      ['ready', 'submitting', 'processing', 'succeeded'],
    )
    expect(one.stdout).toContain(captures.at(-1)?.transactionId)
    expect(list.stdout).toMatch(new RegExp(`${topUpId} +on request +succeeded +\\$50\\.00 +\\+\\$50\\.00`))
  })

  test('starts workers when none run, and says why the card said no', async ({ ownPlace, ownDb: db }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    const { paymentMethodId } = await openWalletWithCard(db, paddle, workspaceId)
    await paddle.control.setCard(paymentMethodId, { decline: 'not_enough_balance' })

    const declined = await run('top-ups', [workspaceId, '--charge', '50'], ownPlace)

    expect(declined.code).toBe(1)
    expect(declined.stderr).toContain('no workers run that charge cards: starting some')
    expect(declined.stdout).toContain('Not credited, declined: The card has not enough money or credit.')
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
  })

  test('charges nothing without a card, of a frozen wallet, without Paddle, or for nobody', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const paddle = await givenPaddle()
    const [cardless, frozen] = [await givenWorkspace(db), newWorkspaceId()]
    await openWalletWithCard(db, paddle, frozen)
    await underLock(db, frozen, (trx, wallet) =>
      freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
    )

    const noCard = await run('top-ups', [cardless, '--charge', '50'], ownPlace)
    const isFrozen = await run('top-ups', [frozen, '--charge', '50'], ownPlace)
    const nobody = await run('top-ups', ['ws_nobody', '--charge', '50'], ownPlace)
    pointTo({ PADDLE_API_KEY: '' })
    const noPaddle = await run('top-ups', [frozen, '--charge', '50'], ownPlace)

    expect([noCard.code, isFrozen.code, nobody.code, noPaddle.code]).toEqual([1, 1, 1, 1])
    expect(noCard.stderr).toContain('has no saved card that can be charged')
    expect(isFrozen.stderr).toContain('the wallet is frozen')
    expect(nobody.stderr).toContain('there is no workspace ws_nobody')
    expect(noPaddle.stderr).toContain('there is no Paddle to talk to')
    expect(await listTopUps(db, { limit: 10 })).toEqual([])
  })
})

describe('top-ups, paid at a checkout', () => {
  test('prints an address where the customer pays and the card is kept', async ({ ownPlace, ownDb: db }) => {
    const paddle = await givenPaddle()
    const workspaceId = await givenWorkspace(db)

    const opened = await run(
      'top-ups',
      [workspaceId, '--checkout', '50', '--email', 'a@example.com', '--save-card'],
      ownPlace,
    )
    const url = /^ {2}(http:\S+)$/m.exec(opened.stdout)?.[1] ?? ''
    const page = await fetch(url)
    await paddle.control.payCheckout(idIn(opened.stdout, 'txn'), { saveCard: true })
    await run('reconcile', [], ownPlace)

    expect(opened.code).toBe(0)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('50.00')
    expect(await findBalance(db, workspaceId)).toBe(60_000_000n)
    expect((await findUsableCard(db, workspaceId))?.card?.last4).toBe('4242')
    expect(await findTopUp(db, { workspaceId, topUpId: idIn(opened.stdout, 'topup') })).toMatchObject({
      state: 'succeeded',
      source: 'checkout',
    })
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('only keeps the card, and asks for the address once', async ({ ownPlace, ownDb: db }) => {
    const paddle = await givenPaddle()
    const workspaceId = await givenWorkspace(db)

    const nobody = await run('top-ups', [workspaceId, '--save-card-only'], ownPlace)
    const first = await run(
      'top-ups',
      [workspaceId, '--save-card-only', '--email', 'a@example.com'],
      ownPlace,
    )
    const second = await run('top-ups', [workspaceId, '--save-card-only'], ownPlace)
    await paddle.control.payCheckout(idIn(second.stdout, 'txn'), { saveCard: true })
    await run('reconcile', [], ownPlace)

    expect(nobody.code).toBe(2)
    expect(nobody.stderr).toContain('--email: is missing')
    expect([first.code, second.code]).toEqual([0, 0])
    expect(await findUsableCard(db, workspaceId)).not.toBeNull()
    expect(await findBalance(db, workspaceId)).toBe(10_000_000n)
  })

  test('exits with 1 when Paddle refuses', async ({ ownPlace, ownDb: db }) => {
    const paddle = await givenPaddle()
    const { workspaceId } = await givenCustomer(db)

    const unknownThere = await run('top-ups', [workspaceId, '--checkout', '50'], ownPlace)
    await paddle.control.fault({ on: 'any', kind: 'html_502', times: 10 })
    const broken = await run('top-ups', [workspaceId, '--checkout', '50'], ownPlace)

    expect([unknownThere.code, broken.code]).toEqual([1, 1])
    expect(broken.stderr).toContain("Paddle's answer did not come or made no sense")
    expect((await listTopUps(db, { workspaceId, limit: 10 })).map(({ state }) => state)).toEqual([
      'failed',
      'failed',
    ])
  })
})

describe('top-ups --resolve', () => {
  test('ends what needs a review, writes down who said so, and lets auto-recharge go on', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const topUp = await givenReview(db)
    const why = 'support says that nothing was charged'

    const review = await run('top-ups', ['--review'], ownPlace)
    const resolved = await run(
      'top-ups',
      ['--resolve', topUp.topUpId, '--as', 'failed', '--why', why],
      ownPlace,
    )
    const again = await run('top-ups', ['--resolve', topUp.topUpId, '--as', 'failed', '--why', why], ownPlace)
    const one = await run('top-ups', [topUp.topUpId], ownPlace)

    expect(review.code).toBe(0)
    expect(review.stdout).toContain(`${topUp.workspaceId}: Paddle may have charged the card`)
    expect(review.stdout).toContain(`npm run -s top-ups -- --resolve ${topUp.topUpId}`)
    expect(resolved.code).toBe(0)
    expect(resolved.stderr).toContain('there is no Paddle to ask from here')
    expect(resolved.stdout).toContain('Auto-recharge decided again: the card is charged with $20.00 now')
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('is failed and needs no review')
    expect(await listAudit(db, topUp.workspaceId, 1)).toMatchObject([
      {
        actor: 'operator',
        action: 'top_up.resolved',
        detail: { top_up_id: topUp.topUpId, as: 'failed', why },
      },
    ])
    expect(one.stdout.replaceAll(/\s+/g, ' ')).toContain(
      `operator: ${topUp.topUpId} resolved as failed: ${why}`,
    )
    expect(await findBalance(db, topUp.workspaceId)).toBe(10_000_000n)
    expect(
      (await listTopUps(db, { workspaceId: topUp.workspaceId, limit: 10 })).map((each) => each.state),
    ).toEqual(['ready', 'failed'])
  })

  test('refuses when Paddle has the money after all, which is then credited', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, paddle, workspaceId)
    await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
    const topUp = await getNewest(db, workspaceId)
    // Charged, and nobody heard of it.
    const charged = await paddle.gateway.charge({
      subscriptionId: topUp.subscriptionId ?? '',
      topUpId: topUp.topUpId,
      workspaceId,
      source: 'auto_recharge',
      amountMicros: topUp.amountMicros,
      sendBefore: performance.now() + 5_000,
    })
    await park(db, topUp)

    const refused = await run(
      'top-ups',
      ['--resolve', topUp.topUpId, '--as', 'canceled', '--why', 'not there'],
      ownPlace,
    )
    await startWorkers({ place: ownPlace, environment: quickCharges })
    const reconciled = await run('reconcile', [], ownPlace)

    expect(charged.outcome).toBe('accepted')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain(`Paddle captured ${topUp.topUpId}`)
    expect(reconciled.code).toBe(0)
    await until('it is credited', async () => (await getNewest(db, workspaceId)).state === 'succeeded')
    expect(await findBalance(db, workspaceId)).toBe(110_000_000n)
  })
})

describe('top-ups --events', () => {
  test('tells what could not be applied in words, never what Paddle sent, and what was turned away', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const paddle = await givenPaddle()
    const { transactionId, customerId } = await paddle.control.createTransaction({
      amount: '5000',
      customData: { workspace_id: 'ws_acme', secret: 'do not show' },
    })
    const event = (await paddle.control.events()).findLast(
      (each) => each.eventType === 'transaction.completed' && each.rawBody.includes(transactionId),
    )
    const eventId = event?.eventId ?? ''
    await db.transaction().execute(async (trx) => {
      await receivePaddleEvent(trx, {
        eventId,
        eventType: 'transaction.completed',
        occurredAt: new Date('2026-11-01T10:00:00Z'),
        body: event?.rawBody ?? '',
      })
      const decision = { state: 'needs_review', outcome: 'another_customer' } as const
      await decidePaddleEvent(trx, eventId, decision, new Date())
      await countRefusedWebhooks(trx, new Map([['wrong_signature', 3]]))
    })

    const { code, stdout } = await run('top-ups', ['--events'], ownPlace)

    expect(code).toBe(0)
    expect(stdout).toContain(`2026-11-01T10:00:00Z  ${eventId}  transaction.completed`)
    expect(stdout).toContain('paid by another customer than the one of the workspace that it names')
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
      `${transactionId} is completed: $50.00 from ${customerId}, for ws_acme.`,
    )
    expect(stdout).toMatch(/3 x wrong_signature +the last \d{4}-/)
    expect(stdout).not.toContain('do not show')
  })
})

describe('top-ups', () => {
  test.for([
    [['ws_a', '--charge', '3'], '--charge: expected $5.00 to $10,000.00, got "3"'],
    [['ws_a', '--save-card'], '--save-card goes with --checkout'],
    [['--resolve', 'topup_1', '--why', 'x'], '--as: expected failed or canceled'],
  ] as const)('are misused by %j, and say how', async ([args, why]) => {
    const { code, stderr } = await run('top-ups', args)

    expect(code).toBe(2)
    expect(stderr).toContain(why)
  })

  test('that are not there are not found', async ({ place }) => {
    const [none, topUp, workspace] = await Promise.all([
      run('top-ups', ['--review'], place),
      run('top-ups', [newId('topup')], place),
      run('top-ups', ['ws_nobody'], place),
    ])

    expect([none.code, topUp.code, workspace.code]).toEqual([0, 1, 1])
    expect(none.stdout).toBe('No top-up needs a review.\n')
  })
})

async function getNewest(db: Db, workspaceId: WorkspaceId): Promise<TopUp> {
  const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
  if (topUp === undefined) throw new Error('there is no top-up')
  return topUp
}

/** A recharge of $20 of which nobody knows the end. */
async function givenReview(db: Db): Promise<TopUp> {
  const { topUp } = await givenRecharge(db)
  await park(db, topUp)
  return topUp
}

/** Sent, and not found. Not looked for by itself for an hour. */
async function park(db: Db, { workspaceId, topUpId }: TopUp): Promise<void> {
  const now = new Date()
  const change = {
    state: 'needs_review',
    reason: 'not_found_at_paddle',
    dueAt: new Date(now.getTime() + 3_600_000),
    submissions: 1,
    sentAt: now,
    firstSentAt: now,
  } as const
  await underLock(db, workspaceId, (trx, wallet) =>
    moveTopUp(trx, wallet, topUpId, { states: ['ready'] }, change, now),
  )
}

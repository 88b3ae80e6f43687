/**
 * The wallet page as a customer has it: the API and workers as processes of their own, Paddle's simulator, and a browser that is
 * signed in with a key.
 */
import type { Page } from 'playwright-core'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import type { ApiKeyScope, Db } from '../../db/schema.ts'
import { startApiProcess } from './api-process.ts'
import { test as base, type Visit } from './browser.ts'
import { quickCharges, startTestPaddle, type TestPaddle } from './paddle.ts'
import { startWorkerProcess } from './worker-process.ts'

export type Site = {
  /** `http://127.0.0.1:port` */
  url: string
  paddle: TestPaddle
}

type Visitor = Omit<Visit, 'origins'> & { scope?: ApiKeyScope }

export const test = base.extend<{
  site: Site
  /** Signs in by the form, and is at the wallet then. Paddle's pages may be visited as well. */
  signIn: (workspaceId: WorkspaceId, visitor?: Visitor) => Promise<Page>
}>({
  site: [
    async ({ place }, use) => {
      const paddle = await startTestPaddle()
      await paddle.control.limits({ requestsPerMinute: null, chargesPerHour: null, chargesPerDay: null })
      const environment = { ...paddle.environment, ...quickCharges }
      const [api, workers] = await Promise.all([
        startApiProcess(place.databaseUrl, environment),
        startWorkerProcess(place, environment),
      ])
      await paddle.control.setWebhookUrl(`${api.url}/webhooks/paddle`)
      await use({ url: api.url, paddle })
      await Promise.all([api.kill(), workers.kill()])
      await paddle.close()
    },
    { scope: 'file' },
  ],
  signIn: async ({ db, openPage, site }, use) => {
    await use(async (workspaceId, { scope = 'admin', ...visit } = {}) => {
      const page = await openPage({ origins: [site.url, site.paddle.url], ...visit })
      await page.goto('/wallet')
      await page.getByLabel('API key').fill(await givenKey(db, workspaceId, scope))
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.waitForURL('/wallet')
      return page
    })
  },
})

/** Shape: the key itself. */
export async function givenKey(db: Db, workspaceId: WorkspaceId, scope: ApiKeyScope): Promise<string> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope, createdBy: 'test' }))
  return secret
}

/**
 * Pictures of the wallet's pages: a stack of their own, a month that was lived on it, and a headless Chromium that looks at every
 * view in light, in dark, and on a telephone.
 */
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Browser, BrowserContext, Page } from 'playwright-core'

import { workspaceId as workspaceIdSchema, type WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import type { Db } from '../../db/schema.ts'
import { createPaddleGateway } from '../../paddle/gateway.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'
import { startDrillStack, type DrillStack } from '../drills/drill-stack.ts'
import { launchChromium } from '../embedded/chromium.ts'
import { liveMonth, liveTrouble, receiptCallId } from './month.ts'

const looks = [
  { suffix: '', colorScheme: 'light', width: 1120 },
  { suffix: '-dark', colorScheme: 'dark', width: 1120 },
  { suffix: '-phone', colorScheme: 'light', width: 390 },
] as const

const mostHeight = 1_400
/** Of what is written in all. */
const mostBytes = 2_500_000

/** Shape: the names of the files that were written to `folder`. */
export async function takePictures(folder: string, log: (message: string) => void): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  const practice = workspaceIdSchema.parse('ws_harbor_dental')
  const broke = workspaceIdSchema.parse('ws_lakeside')
  const transport = installPaddleTransport()
  const stack = await startDrillStack(log, async ({ databaseUrl, control, paddleEnvironment }) => {
    const { PADDLE_API_KEY: apiKey, PADDLE_ENVIRONMENT: environment } = paddleEnvironment
    const { PADDLE_PRODUCT_ID: productId, PADDLE_SETUP_PRICE_ID: setupPriceId } = paddleEnvironment
    const gateway = createPaddleGateway({ apiKey, environment, productId, setupPriceId })
    log('living a month...')
    const paddle = { control, gateway, productId }
    await liveMonth(databaseUrl, paddle, { workspaceId: practice, name: 'Harbor Dental' })
    await liveTrouble(databaseUrl, paddle, { workspaceId: broke, name: 'Lakeside Realty' })
  })
  let browser: Browser | null = null
  try {
    browser = await launchChromium({ log })
    await startCalls(stack, practice)
    const written: string[] = []
    for (const look of looks) {
      const context = await browser.newContext({
        baseURL: stack.apiUrl,
        colorScheme: look.colorScheme,
        viewport: { width: look.width, height: 720 },
        reducedMotion: 'reduce',
        locale: 'en-US',
        timezoneId: 'UTC',
      })
      written.push(...(await photograph(context, stack.db, { practice, broke, folder, suffix: look.suffix })))
      await context.close()
    }
    return written
  } finally {
    await browser?.close()
    await stack.stop()
    await transport.close()
  }
}

/** Throws when they are larger than a repository should carry. */
export async function weigh(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.png'))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  if (bytes > mostBytes) throw new Error(`the pictures are ${bytes} bytes together, more than ${mostBytes}`)
  return bytes
}

type Scene = { practice: WorkspaceId; broke: WorkspaceId; folder: string; suffix: string }

async function photograph(context: BrowserContext, db: Db, scene: Scene): Promise<string[]> {
  const page = await context.newPage()
  const written: string[] = []
  const take = async (name: string): Promise<void> => {
    const file = `${name}${scene.suffix}.png`
    // A table may be as long as it likes; its beginning shows it.
    const height = Math.min(mostHeight, await page.evaluate<number>('document.documentElement.scrollHeight'))
    const { width } = page.viewportSize() ?? { width: 0 }
    const clip = { x: 0, y: 0, width, height }
    await page.screenshot({ path: join(scene.folder, file), fullPage: true, clip })
    written.push(file)
  }
  await page.goto('/wallet')
  await take('sign-in')
  await signIn(page, db, scene.practice)
  await page.goto('/wallet')
  await take('wallet')
  await page.goto('/wallet/add-funds')
  await page.getByRole('button', { name: '$100', exact: true }).click()
  await page.getByLabel('Country that you pay from').selectOption({ label: 'Germany' })
  await page.getByText('$119.00').waitFor()
  await take('add-funds')
  await page.goto('/wallet/auto-recharge')
  await take('auto-recharge')
  await page.goto('/wallet/transactions')
  await take('transactions')
  await page.goto(`/wallet/transactions?call_id=${receiptCallId}`)
  await page.getByRole('table').getByRole('link').first().click()
  await page.waitForURL('/wallet/transactions/*')
  await take('receipt')
  await page.goto('/wallet/spend')
  await take('spend')
  await page.goto('/wallet/numbers')
  await take('numbers')

  await context.clearCookies()
  await signIn(page, db, scene.broke)
  await page.goto('/wallet')
  await take('trouble')
  return written
}

async function signIn(page: Page, db: Db, workspaceId: WorkspaceId): Promise<void> {
  const secret = await keyOf(db, workspaceId)
  await page.goto('/wallet/sign-in')
  await page.getByLabel('API key').fill(secret)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL('/wallet')
}

async function keyOf(db: Db, workspaceId: WorkspaceId): Promise<string> {
  const { secret } = await db
    .transaction()
    .execute((trx) => createApiKey(trx, { workspaceId, scope: 'admin', createdBy: 'pictures' }))
  return secret
}

/** Three calls that are going on while the pictures are taken. */
async function startCalls({ apiUrl, db }: DrillStack, workspaceId: WorkspaceId): Promise<void> {
  const secret = await keyOf(db, workspaceId)
  for (const number of ['+14155550117', '+12125550164', '+442079460118']) {
    const answer = await fetch(`${apiUrl}/v1/calls`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ to_number: number }),
    })
    if (answer.status !== 201) throw new Error(`a call was refused: ${await answer.text()}`)
  }
}

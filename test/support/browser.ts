/**
 * Pages in a real browser, one Chromium for a test file. A page that complains fails its test: an error on the console or of a
 * script, a breach of the Content-Security-Policy, a request to another host than the story is about.
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Browser, BrowserContext, Page } from 'playwright-core'

import { launchChromium } from '../../scripts/embedded/chromium.ts'
import { test as base } from './api-process.ts'
import { listenTo, type Heard, type Listening } from './complaints.ts'

export type Visit = Listening & {
  colorScheme?: 'light' | 'dark'
  /** Of the window, in CSS pixels. */
  width?: number
  height?: number
}

export const test = base.extend<{
  browser: Browser
  /** A visitor of their own, with no cookies yet, and their first page. */
  openPage: (visit: Visit) => Promise<Page>
}>({
  browser: [
    async ({ place: _place }, use) => {
      const browser = await launchChromium({ log: (message) => process.stderr.write(`${message}\n`) })
      await use(browser)
      await browser.close()
    },
    { scope: 'file' },
  ],
  openPage: async ({ browser, task }, use) => {
    const visits: { context: BrowserContext; heard: Heard }[] = []
    await use(async (visit) => {
      const context = await browser.newContext({
        baseURL: visit.origins[0],
        colorScheme: visit.colorScheme ?? 'light',
        viewport: { width: visit.width ?? 1280, height: visit.height ?? 800 },
        javaScriptEnabled: visit.javaScript ?? true,
        // Nothing that moves has to be waited for.
        reducedMotion: 'reduce',
        locale: 'en-US',
        timezoneId: 'UTC',
      })
      context.setDefaultTimeout(20_000)
      visits.push({ context, heard: await listenTo(context, visit) })
      return await context.newPage()
    })

    // A test that is meant to fail needs no picture of it.
    const wanted = task.fails !== true
    const failed = task.result?.state === 'fail'
    const complaints: string[] = []
    const pictures: string[] = []
    for (const { context, heard } of visits) {
      const said = await heard()
      if (wanted && (failed || said.length > 0)) pictures.push(...(await photograph(context)))
      complaints.push(...said)
      await context.close()
    }
    if (pictures.length > 0) process.stderr.write(`what the browser showed: ${pictures.join(' ')}\n`)
    if (complaints.length > 0) throw new Error(`the page complained:\n  ${complaints.join('\n  ')}`)
  },
})

/** Shape: where the pictures are, one for each page that is open. */
async function photograph(context: BrowserContext): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'voice-wallet-picture-'))
  const paths = context.pages().map((_, index) => join(directory, `${index + 1}.png`))
  for (const [index, page] of context.pages().entries()) {
    await page.screenshot({ path: paths[index] ?? '', fullPage: true }).catch(() => undefined)
  }
  return paths
}

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

export type Visit = {
  /** Where the visitor may go, such as `http://127.0.0.1:4000`. Paths that a test names are of the first. */
  origins: readonly [string, ...string[]]
  /** What this story complains about on purpose: the browser reports every refusal that a script is answered with. */
  forgiven?: readonly RegExp[]
  colorScheme?: 'light' | 'dark'
  /** Of the window, in CSS pixels. */
  width?: number
  height?: number
  /** False for a reader who has none. */
  javaScript?: boolean
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

/** All complaints so far, what is on its way included. */
type Heard = () => Promise<readonly string[]>

/** Hears everything that a page does and should not, from now on, whatever page of the context does it. */
export async function listenTo(
  context: BrowserContext,
  { origins, forgiven = [], javaScript = true }: Visit,
): Promise<Heard> {
  const complaints: string[] = []
  const complain = (what: string): void => {
    if (!forgiven.some((pattern) => pattern.test(what))) complaints.push(what)
  }
  const noteAddress = (address: string): void => {
    const { protocol, origin } = new URL(address)
    // What carries its own content asks nobody. A socket's host is the page's, under another protocol.
    if (['data:', 'blob:', 'about:'].includes(protocol)) return
    if (!origins.includes(origin.replace(/^ws/, 'http'))) complain(`a request to another host: ${address}`)
  }
  // The browser reports what a policy forbids; what a policy only watches, it keeps to itself.
  await context.addInitScript(`addEventListener('securitypolicyviolation', (breach) =>
    console.error('a breach of the policy: ' + breach.violatedDirective + ' of ' + breach.blockedURI))`)
  context.on('console', (message) => {
    if (message.type() === 'error') complain(`on the console: ${message.text()} (${message.location().url})`)
  })
  context.on('weberror', (failure) => complain(`of a script: ${failure.error().message}`))
  context.on('request', (request) => noteAddress(request.url()))
  context.on('page', (page) => page.on('websocket', (socket) => noteAddress(socket.url())))
  return async () => {
    // What a page does is told in its order, so that after its answer to anything nothing is missing.
    if (javaScript)
      await Promise.all(context.pages().map((page) => page.evaluate('new Promise(requestAnimationFrame)')))
    return complaints
  }
}

/** Shape: where the pictures are, one for each page that is open. */
async function photograph(context: BrowserContext): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'voice-wallet-picture-'))
  const paths = context.pages().map((_, index) => join(directory, `${index + 1}.png`))
  for (const [index, page] of context.pages().entries()) {
    await page.screenshot({ path: paths[index] ?? '', fullPage: true }).catch(() => undefined)
  }
  return paths
}

// The browser that other tests look through, looked at itself: it has to see what is wrong before it may say that all is well.
import { createServer } from 'node:http'
import { once } from 'node:events'

import { describe, expect } from 'vitest'
import type { BrowserContext, Page } from 'playwright-core'

import { findBarriers } from './support/barriers.ts'
import { test as base } from './support/browser.ts'
import { listenTo } from './support/complaints.ts'
import { until } from './support/until.ts'

const strict = "default-src 'self'; img-src data:"

/** Pages, each with what is wrong with it in its body, and the policy that it is served or only watched under. */
const pages: Record<string, { body: string; policy?: string; watched?: string }> = {
  '/well': { body: '<h1>All is well</h1><script src="/script.js"></script>', policy: strict },
  '/script.js': { body: 'document.body.dataset.ran = "yes"' },
  '/console': { body: '<script>console.error("the balance is not a number")</script>' },
  '/script': { body: '<script>setTimeout(() => { wallet.open() })</script>' },
  '/promise': { body: '<script>Promise.reject(new Error("nobody waited"))</script>' },
  '/refused': {
    body: '<script>fetch("/absent").then(() => { document.body.dataset.answered = "yes" })</script>',
  },
  '/foreign': { body: '<img src="http://pictures.example/logo.png" alt="">' },
  '/foreign-socket': { body: '<script>new WebSocket("ws://pictures.example/")</script>' },
  '/breach': { body: '<p>quiet</p><script>document.title = "let in"</script>', policy: strict },
  '/watched': { body: '<p style="color: red">quiet</p>', watched: strict },
  '/faint': { body: '<p style="color: #ccc">Your card was declined</p>' },
  '/unnamed': { body: '<h1>Add Funds</h1><input type="number"><button><img src="/script.js"></button>' },
}

const test = base.extend<{
  origin: string
  /** A page of `pages`, and what it is heard to do. Nothing fails this test but what it expects itself. */
  visit: (path: string, forgiven?: RegExp) => Promise<{ page: Page; heard: () => Promise<readonly string[]> }>
}>({
  origin: [
    async ({ place: _place }, use) => {
      const server = createServer((request, response) => {
        const { body, policy, watched } = pages[request.url ?? ''] ?? { body: '' }
        response.statusCode = body === '' ? 404 : 200
        response.setHeader('content-type', request.url?.endsWith('.js') ? 'text/javascript' : 'text/html')
        if (policy !== undefined) response.setHeader('content-security-policy', policy)
        if (watched !== undefined) response.setHeader('content-security-policy-report-only', watched)
        response.end(request.url?.endsWith('.js') ? body : document(body))
      })
      await once(server.listen(0, '127.0.0.1'), 'listening')
      const address = server.address()
      if (address === null || typeof address === 'string') throw new Error('the server has no port')
      await use(`http://127.0.0.1:${address.port}`)
      server.close()
    },
    { scope: 'file' },
  ],
  visit: async ({ browser, origin }, use) => {
    const contexts: BrowserContext[] = []
    await use(async (path, forgiven) => {
      const context = await browser.newContext({ baseURL: origin })
      contexts.push(context)
      const heard = await listenTo(context, { origins: [origin], forgiven: forgiven ? [forgiven] : [] })
      const page = await context.newPage()
      await page.goto(path)
      return { page, heard }
    })
    await Promise.all(contexts.map((context) => context.close()))
  },
})

test('a page with nothing wrong is not complained about', async ({ openPage, origin }) => {
  const page = await openPage({ origins: [origin] })

  await page.goto('/well')

  expect(await page.getAttribute('body', 'data-ran')).toBe('yes')
  expect(await findBarriers(page)).toEqual([])
})

describe('complains about', () => {
  const wrongs: [path: string, complaint: RegExp][] = [
    ['/console', /^on the console: the balance is not a number/],
    ['/script', /^of a script: wallet is not defined/],
    ['/promise', /^of a script: nobody waited/],
    ['/refused', /^on the console: Failed to load resource: .* 404 .*\/absent/],
    ['/foreign', /^a request to another host: http:\/\/pictures\.example\/logo\.png/],
    ['/foreign-socket', /^a request to another host: ws:\/\/pictures\.example\//],
    ['/breach', /^on the console: Executing inline script violates .* Content Security Policy/],
    ['/watched', /^on the console: a breach of the policy: style-src-attr of inline/],
  ]
  test.for(wrongs)('what is wrong with %s', async ([path, complaint], { visit }) => {
    const { heard } = await visit(path)

    const [first] = await until('the page is complained about', async () => {
      const complaints = await heard()
      return complaints.length > 0 && complaints
    })

    expect(first).toMatch(complaint)
  })
})

test('forgives what a story is about', async ({ visit }) => {
  const { page, heard } = await visit('/refused', /status of 404/)

  await page.waitForFunction('document.body.dataset.answered')

  expect(await heard()).toEqual([])
})

test.fails('a complaint fails the test that opened the page', async ({ openPage, origin }) => {
  const page = await openPage({ origins: [origin] })

  await page.goto('/console')
})

test('names what keeps people out, and where', async ({ openPage, origin }) => {
  const page = await openPage({ origins: [origin] })

  await page.goto('/faint')
  const faint = await findBarriers(page)
  await page.goto('/unnamed')
  const unnamed = await findBarriers(page)

  expect(faint).toEqual([expect.stringMatching(/^color-contrast \(serious\) at p: .*1\.6/)])
  expect(unnamed.map((line) => line.replace(/:.*/, ''))).toEqual([
    'button-name (critical) at button',
    'image-alt (critical) at img',
    'label (critical) at input',
  ])
})

function document(body: string): string {
  return `<!doctype html><html lang="en"><head><title>Wallet</title><link rel="icon" href="data:,"></head><body><main>${body}</main></body></html>`
}

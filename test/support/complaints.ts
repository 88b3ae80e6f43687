/**
 * What a page in a browser should not do: write an error to the console, fail in a script, break the policy that it came with, ask
 * another host than the story is about.
 */
import type { BrowserContext } from 'playwright-core'

export type Listening = {
  /** Where the visitor may go, such as `http://127.0.0.1:4000`. Paths that a test names are of the first. */
  origins: readonly [string, ...string[]]
  /** What this story complains about on purpose: the browser reports every refusal that it is answered with. */
  forgiven?: readonly RegExp[]
  /** False for a reader who has none. */
  javaScript?: boolean
}

/** All complaints so far, what is on its way included. */
export type Heard = () => Promise<readonly string[]>

/** Hears everything that a page does and should not, from now on, whatever page of the context does it. */
export async function listenTo(
  context: BrowserContext,
  { origins, forgiven = [], javaScript = true }: Listening,
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

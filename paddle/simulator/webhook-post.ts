/** One webhook on the wire: signed the moment it is sent, as Paddle does, or wrongly on purpose. */
import { createHmac } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

import type { WebhookPolicy } from './control-commands.ts'

type PostOutcome = { status: number | null; body: string; error: string | null }

export type WebhookPost = {
  post: (message: { url: string; body: string; signature: string; timeoutMs: number }) => Promise<PostOutcome>
  close: () => void
}

/** Its own connections: whatever a test does to the process's `fetch` is not done to Paddle. */
export function createWebhookPost(): WebhookPost {
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) }
  return {
    post: ({ url, body, signature, timeoutMs }) =>
      new Promise((resolve) => {
        const fail = (error: Error): void => {
          resolve({ status: null, body: '', error: error.message })
        }
        const isTls = url.startsWith('https:')
        try {
          const request = (isTls ? httpsRequest : httpRequest)(
            url,
            {
              method: 'POST',
              agent: isTls ? agents.https : agents.http,
              signal: AbortSignal.timeout(timeoutMs),
              headers: {
                'content-type': 'application/json; charset=utf-8',
                'content-length': Buffer.byteLength(body),
                'paddle-signature': signature,
                'paddle-version': '1',
                'user-agent': 'Paddle',
              },
            },
            (response) => {
              let text = ''
              response.setEncoding('utf8')
              response.on('data', (chunk: string) => {
                if (text.length < 4_000) text += chunk
              })
              response.on('end', () => {
                resolve({ status: response.statusCode ?? null, body: text, error: null })
              })
              response.on('error', fail)
            },
          )
          request.on('error', fail)
          request.end(body)
        } catch (error) {
          fail(error instanceof Error ? error : new Error(String(error)))
        }
      }),
    close: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

/** The `Paddle-Signature` of a body, sent at `now`. */
export function signWebhook(
  body: string,
  { secret, now, policy }: { secret: string; now: Date; policy: WebhookPolicy },
): string {
  const seconds = Math.floor(now.getTime() / 1000) - (policy.staleSeconds ?? 0)
  const good = hashOf(seconds, body, secret)
  const bad = hashOf(seconds, body, `${secret} of somebody else`)
  const hashes =
    policy.badSignature === true
      ? [bad]
      : policy.twoSignatures === 'good_first'
        ? [good, bad]
        : policy.twoSignatures === 'good_last'
          ? [bad, good]
          : [good]
  return [`ts=${seconds}`, ...hashes.map((hash) => `h1=${hash}`)].join(';')
}

function hashOf(seconds: number, body: string, secret: string): string {
  return createHmac('sha256', secret).update(`${seconds}:${body}`).digest('hex')
}

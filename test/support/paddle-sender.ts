/** Webhooks as Paddle sends them, or as somebody does who would like to be Paddle. */
import { createHmac } from 'node:crypto'

import { newId } from './given.ts'

export const webhookSecret = 'pdl_ntfset_01_current_secret_of_a_test'

export type Answer = {
  status: number
  requestId: string | null
  /** The parsed body; null when there is none. */
  body: unknown
  /** The body as it came. */
  text: string
}

/** An event that concerns no wallet: stored, and then ignored. */
export function anEvent(changes: Record<string, unknown> = {}): { eventId: string; body: string } {
  const eventId = newId('evt')
  const event = {
    event_id: eventId,
    event_type: 'address.updated',
    occurred_at: new Date().toISOString(),
    notification_id: newId('ntf'),
    data: { id: newId('add'), city: 'Zürich', note: '☎ 1 < 2' },
    ...changes,
  }
  // Spaces that no serializer of ours would put there: whoever writes it anew writes something else.
  return { eventId, body: JSON.stringify(event, null, 1) }
}

/** `Paddle-Signature`: one `h1` for each secret, in order. */
export function signatureOf(
  body: string | Buffer,
  { secrets = [webhookSecret], at = new Date() }: { secrets?: readonly string[]; at?: Date } = {},
): string {
  const seconds = Math.floor(at.getTime() / 1_000)
  const signatures = secrets.map((secret) =>
    createHmac('sha256', secret).update(`${seconds}:`).update(body).digest('hex'),
  )
  return [`ts=${seconds}`, ...signatures.map((h1) => `h1=${h1}`)].join(';')
}

/** Sends a body, signed with the test's secret unless a signature is given; null sends none. */
export async function sendWebhook(
  url: string,
  body: string | Buffer,
  {
    signature = signatureOf(body),
    headers = { 'content-type': 'application/json' },
  }: { signature?: string | null; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${url}/webhooks/paddle`, {
    method: 'POST',
    headers: { ...headers, ...(signature === null ? {} : { 'paddle-signature': signature }) },
    // Bytes, because text would be given a content type.
    body: Buffer.from(body),
  })
  return await answerOf(response)
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  const body: unknown = text === '' ? null : JSON.parse(text)
  return { status: response.status, requestId: response.headers.get('x-request-id'), body, text }
}

/** Servers that answer as a test says, and the gateway on them: for the ways in which Paddle, or what is before it, can fail. */
// oxlint-disable eslint/no-empty-pattern -- vitest sees from the pattern which fixtures a fixture needs
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { test as base } from 'vitest'

import { createPaddleGateway, type PaddleGateway, type PaddleGatewayOptions } from '../../paddle/gateway.ts'
import { installPaddleTransport } from '../../paddle/transport.ts'

/** How a server answers one request. */
export type Script = (response: ServerResponse, request: IncomingMessage) => void

type Received = { method: string; path: string; authorization: string; body: unknown }

export type ScriptedPaddle = {
  url: string
  /** Whole requests, in the order in which they came. */
  received: Received[]
  /** What the next requests are answered with, in turn; the last is kept for all that follow. */
  answer: (...scripts: Script[]) => void
  /** How many connections were ever made. */
  connections: () => number
  close: () => Promise<void>
}

export const apiKey = 'pdl_sdbx_apikey_canary7f3a_notasecret'

type Fixtures = {
  /** Under this process's fetch for as long as the file runs. */
  transport: { close: () => Promise<void> }
  startPaddle: () => Promise<ScriptedPaddle>
  paddle: ScriptedPaddle
  /** A gateway on a server; short timeouts unless told otherwise. */
  gatewayOn: (server: { url: string }, options?: Partial<PaddleGatewayOptions>) => PaddleGateway
}

export const test = base.extend<Fixtures>({
  transport: [
    async ({}, use) => {
      const transport = installPaddleTransport()
      await use(transport)
      await transport.close()
    },
    { scope: 'file', auto: true },
  ],
  startPaddle: async ({}, use) => {
    const started: ScriptedPaddle[] = []
    await use(async () => {
      const paddle = await startScriptedPaddle()
      started.push(paddle)
      return paddle
    })
    await Promise.all(started.map((paddle) => paddle.close()))
  },
  paddle: async ({ startPaddle }, use) => {
    await use(await startPaddle())
  },
  gatewayOn: async ({}, use) => {
    await use((server, options) =>
      createPaddleGateway({
        apiKey,
        environment: server.url,
        productId: 'pro_walletcredit',
        setupPriceId: 'pri_walletsetup',
        timeouts: { chargeMs: 500, otherMs: 500 },
        ...options,
      }),
    )
  },
})

/** Paddle's JSON around `data`. */
export function answering(data: unknown, status = 200): Script {
  return json(status, { data, meta: { request_id: 'req-1' } })
}

/** A page of a list, which may claim that there is more. */
export function listing(data: unknown[], { next = '', hasMore = false } = {}): Script {
  const pagination = { per_page: 30, next, has_more: hasMore, estimated_total: data.length }
  return json(200, { data, meta: { request_id: 'req-1', pagination } })
}

/** One of Paddle's errors. */
export function refusing(
  status: number,
  code: string,
  { type = status >= 500 ? 'api_error' : 'request_error', headers = {} } = {},
): Script {
  const error = { type, code, detail: `about ${code}`, documentation_url: 'https://developer.paddle.com' }
  return json(status, { error, meta: { request_id: 'req-1' } }, headers)
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Script {
  return text(status, JSON.stringify(body), { 'content-type': 'application/json', ...headers })
}

export function text(status: number, body: string, headers: Record<string, string> = {}): Script {
  return (response) => {
    response.writeHead(status, { 'request-id': 'req-1', ...headers }).end(body)
  }
}

/** Reads the request and never answers. */
export const hanging: Script = () => {}

async function startScriptedPaddle(): Promise<ScriptedPaddle> {
  const received: Received[] = []
  let scripts: Script[] = [refusing(404, 'not_found')]
  let connections = 0
  const server = createServer((request, response) => {
    void receive(request, response)
  })
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request)
    const { method = '', url: path = '' } = request
    received.push({ method, path, authorization: request.headers.authorization ?? '', body })
    const [script] = scripts.length > 1 ? scripts.splice(0, 1) : scripts
    script?.(response, request)
  }
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${portOf(server.address())}`,
    received,
    answer: (...next) => {
      scripts = next
    },
    connections: () => connections,
    close: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks = await request.toArray()
  const body = Buffer.concat(chunks).toString('utf8')
  return body === '' ? null : JSON.parse(body)
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return address.port
}

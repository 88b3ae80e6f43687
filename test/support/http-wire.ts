/** The wire between a client and an HTTP server, request by request, with a gate before each and one after its answer. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

import type { Wire } from './wire.ts'

export type HttpGates = {
  /** `asked` is the request's line, and its body after it. */
  before?: (asked: string) => Promise<void> | void
  after?: (asked: string, answer: Buffer) => Promise<void> | void
}

const passedOn = ['authorization', 'content-type', 'accept', 'user-agent', 'paddle-version']

export async function startHttpWire(targetUrl: string, gates: HttpGates): Promise<Wire> {
  const carry = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await buffer(request)
    const asked = `${request.method} ${request.url} ${body.toString('utf8')}`
    await gates.before?.(asked)
    const answer = await fetch(`${targetUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: passedOn.flatMap((name) => {
        const value = request.headers[name]
        return typeof value === 'string' ? [[name, value]] : []
      }),
      ...(body.length === 0 ? {} : { body }),
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    await gates.after?.(asked, bytes)
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
    response.end(bytes)
  }
  const server = createServer((request, response) => {
    carry(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The wire between a client and an HTTP server, request by request, with a gate before each and one after its answer. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'

export type HttpGates = {
  /** `asked` is the request's line, and its body after it. */
  before?: (asked: string) => Promise<void> | void
  after?: (asked: string, answer: Buffer) => Promise<void> | void
}

export type HttpWire = { url: string; close: () => Promise<void> }

export async function startHttpWire(targetUrl: string, gates: HttpGates): Promise<HttpWire> {
  const carry = async (request: IncomingMessage) => {
    const body = await buffer(request)
    const asked = `${request.method} ${request.url} ${body.toString('utf8')}`
    await gates.before?.(asked)
    const { host: _host, connection: _connection, 'content-length': _length, ...headers } = request.headers
    const answer = await fetch(`${targetUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: headers as Record<string, string>,
      ...(body.length === 0 ? {} : { body }),
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    await gates.after?.(asked, bytes)
    return { status: answer.status, type: answer.headers.get('content-type'), bytes }
  }
  const server = createServer((request, response) => {
    carry(request).then(
      ({ status, type, bytes }) => {
        response.writeHead(status, { ...(type === null ? {} : { 'content-type': type }) })
        response.end(bytes)
      },
      () => response.destroy(),
    )
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

/**
 * The wire between a client and Redis, command by command: each one waits at a gate before Redis hears of it, and again after Redis
 * has answered and before the client hears that. The other half of `postgres-wire.ts`.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type RedisGates = {
  before?: (command: Buffer) => Promise<void> | void
  after?: (command: Buffer, answer: Buffer) => Promise<void> | void
}

export type RedisWire = { url: string; close: () => Promise<void> }

/** Shape: commands that a client sends together pass one by one, in their order. Knows no subscriptions. */
export async function startRedisWire(redisUrl: string, gates: RedisGates): Promise<RedisWire> {
  const { hostname, port } = new URL(redisUrl)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    carry(client, upstream, gates)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const through = new URL(redisUrl)
  through.hostname = '127.0.0.1'
  through.port = String(typeof address === 'object' && address !== null ? address.port : 0)
  return {
    url: through.href,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function carry(client: Socket, upstream: Socket, gates: RedisGates): void {
  const waiting: Buffer[] = []
  let underWay = false
  let answered: (answer: Buffer) => void = (answer) => void client.write(answer)

  const pass = async (): Promise<void> => {
    underWay = true
    for (let command = waiting.shift(); command !== undefined; command = waiting.shift()) {
      await gates.before?.(command)
      if (upstream.destroyed) return
      const answer = new Promise<Buffer>((resolve) => {
        answered = resolve
      })
      upstream.write(command)
      const bytes = await answer
      await gates.after?.(command, bytes)
      if (!client.destroyed) client.write(bytes)
    }
    underWay = false
  }
  client.on(
    'data',
    valuesOf((command) => {
      waiting.push(command)
      if (!underWay) void pass()
    }),
  )
  upstream.on(
    'data',
    valuesOf((answer) => answered(answer)),
  )
}

/** Cuts a stream into values of the protocol: what is sent and what is answered have the same form. */
function valuesOf(take: (value: Buffer) => void): (bytes: Buffer) => void {
  let left: Buffer = Buffer.alloc(0)
  return (bytes) => {
    left = left.length === 0 ? bytes : Buffer.concat([left, bytes])
    for (let end = endOfValue(left, 0); end !== null; end = endOfValue(left, 0)) {
      const value = left.subarray(0, end)
      left = left.subarray(end)
      take(value)
    }
  }
}

const bulk = new Set(['$', '=', '!'])
const many = new Set(['*', '~', '>'])

/** Null when it has not all come yet. */
function endOfValue(bytes: Buffer, start: number): number | null {
  const lineEnd = bytes.indexOf('\r\n', start)
  if (lineEnd === -1) return null
  const type = String.fromCharCode(bytes[start] ?? 0)
  const count = Number(bytes.toString('latin1', start + 1, lineEnd))
  const next = lineEnd + 2
  if (bulk.has(type)) {
    const end = count < 0 ? next : next + count + 2
    return end > bytes.length ? null : end
  }
  const parts = many.has(type) ? count : type === '%' ? count * 2 : 0
  let end: number | null = next
  for (let part = 0; part < parts && end !== null; part += 1) {
    end = end >= bytes.length ? null : endOfValue(bytes, end)
  }
  return end
}

/**
 * The wire between a client and Postgres, statement by statement: each one waits at a gate before Postgres hears of it, and
 * again after Postgres has answered and before the client hears that. What lies between two gates is a point in time that a
 * test can choose: to let another session go first, or to let the process die.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** What one round trip asks for. */
export type WireStatement = {
  /** The SQL, without its parameters. */
  text: string
  /** As it travels, parameters included: what a statement is about can be found in it. */
  bytes: Buffer
  /** The process at Postgres that does it. */
  backendPid: number
  /** Counts the connections of this wire; each has a number of its own. */
  connection: number
}

/** A gate that never resolves holds its statement for ever. */
export type WireGates = {
  before?: (statement: WireStatement) => Promise<void> | void
  after?: (statement: WireStatement, answer: Buffer) => Promise<void> | void
}

export type PostgresWire = { url: string; close: () => Promise<void> }

/** Shape: statements that a client sends together pass one by one, in their order, as Postgres would do them anyway. */
export async function startPostgresWire(databaseUrl: string, gates: WireGates): Promise<PostgresWire> {
  const { hostname, port } = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let connections = 0

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    connections += 1
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
    carry(client, upstream, connections, gates)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  const through = new URL(databaseUrl)
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

const idle = () => undefined

function carry(client: Socket, upstream: Socket, connection: number, gates: WireGates): void {
  const texts = new Map<string, string>()
  const waiting: { bytes: Buffer; text: string }[] = []
  let backendPid = 0
  let started = false
  let underWay = false
  let answered: () => void = idle
  let answer: Buffer[] = []

  const pass = async (): Promise<void> => {
    underWay = true
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const statement: WireStatement = { ...next, backendPid, connection }
      await gates.before?.(statement)
      if (upstream.destroyed) return
      const done = new Promise<void>((resolve) => {
        answered = resolve
      })
      upstream.write(next.bytes)
      await done
      const bytes = Buffer.concat(answer)
      answer = []
      await gates.after?.(statement, bytes)
      if (!client.destroyed) client.write(bytes)
    }
    underWay = false
  }

  let unit: Buffer[] = []
  let text = ''
  const fromClient = messagesOf({ untyped: 1 }, (type, message) => {
    if (!started || type === 'X') return void upstream.write(message)
    unit.push(message)
    text = textOf(type, message, texts) ?? text
    if (type !== 'S' && type !== 'Q') return
    waiting.push({ bytes: Buffer.concat(unit), text })
    unit = []
    text = ''
    if (!underWay) void pass()
  })
  const fromPostgres = messagesOf({ untyped: 0 }, (type, message) => {
    if (type === 'K') backendPid = message.readUInt32BE(5)
    if (!started || !underWay) client.write(message)
    else answer.push(message)
    if (type !== 'Z') return
    started = true
    answered()
  })
  client.on('data', fromClient)
  upstream.on('data', fromPostgres)
  // What Postgres says last, such as why it ends the session, is not kept from the client.
  upstream.on('end', () => client.end(Buffer.concat(answer)))
  client.on('end', () => upstream.end())
}

/** Cuts a stream into messages. The first of a client has no type: it begins the session. */
function messagesOf(
  { untyped }: { untyped: number },
  take: (type: string, message: Buffer) => void,
): (bytes: Buffer) => void {
  let left: Buffer = Buffer.alloc(0)
  let typeless = untyped
  return (bytes) => {
    left = left.length === 0 ? bytes : Buffer.concat([left, bytes])
    for (;;) {
      const prefix = typeless > 0 ? 0 : 1
      if (left.length < prefix + 4) return
      const length = prefix + left.readUInt32BE(prefix)
      if (left.length < length) return
      const message = left.subarray(0, length)
      left = left.subarray(length)
      typeless = Math.max(0, typeless - 1)
      take(prefix === 0 ? '' : String.fromCharCode(message[0] ?? 0), message)
    }
  }
}

/** The SQL that a message names: a query or a parse carries it, a bind names the one that was parsed under that name. */
function textOf(type: string, message: Buffer, texts: Map<string, string>): string | undefined {
  const strings = message.subarray(5)
  if (type === 'Q') return stringAt(strings, 0)
  if (type === 'P') {
    const name = stringAt(strings, 0)
    const text = stringAt(strings, Buffer.byteLength(name) + 1)
    texts.set(name, text)
    return text
  }
  if (type !== 'B') return undefined
  const portal = stringAt(strings, 0)
  return texts.get(stringAt(strings, Buffer.byteLength(portal) + 1))
}

function stringAt(bytes: Buffer, start: number): string {
  return bytes.toString('utf8', start, bytes.indexOf(0, start))
}

/**
 * The wire between a client and Postgres, statement by statement: each one waits at a gate before Postgres hears of it, and
 * again after Postgres has answered and before the client hears that. What lies between two gates is a point in time that a
 * test can choose: to let another session go first, or to let the process die.
 */
import type { Socket } from 'node:net'

import { inTurn, startWire, type Wire } from './wire.ts'

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

/** Shape: statements that a client sends together pass one by one, in their order, as Postgres would do them anyway. */
export async function startPostgresWire(databaseUrl: string, gates: WireGates): Promise<Wire> {
  return await startWire(databaseUrl, (client, upstream, connection) =>
    carry(client, upstream, { connection, gates }),
  )
}

function carry(
  client: Socket,
  upstream: Socket,
  { connection, gates }: { connection: number; gates: WireGates },
): void {
  const texts = new Map<string, string>()
  let backendPid = 0
  let isStarted = false
  let underWay: { answer: Buffer[]; answered: (answer: Buffer) => void } | null = null

  const pass = inTurn(async (asked: { bytes: Buffer; text: string }) => {
    const statement = { ...asked, backendPid, connection }
    await gates.before?.(statement)
    if (upstream.destroyed) return
    const answer = await new Promise<Buffer>((answered) => {
      underWay = { answer: [], answered }
      upstream.write(asked.bytes)
    })
    await gates.after?.(statement, answer)
    if (!client.destroyed) client.write(answer)
  })

  let unit: Buffer[] = []
  let text = ''
  const fromClient = messagesOf({ untyped: 1 }, (type, message) => {
    if (!isStarted || type === 'X') {
      upstream.write(message)
      return
    }
    unit.push(message)
    text = textOf(type, message, texts) ?? text
    if (type === 'S' || type === 'Q') {
      pass({ bytes: Buffer.concat(unit), text })
      unit = []
      text = ''
    }
  })
  const fromPostgres = messagesOf({ untyped: 0 }, (type, message) => {
    if (type === 'K') backendPid = message.readUInt32BE(5)
    if (type === 'Z') isStarted = true
    if (underWay === null) client.write(message)
    else underWay.answer.push(message)
    if (type !== 'Z') return
    underWay?.answered(Buffer.concat(underWay.answer))
    underWay = null
  })
  client.on('data', fromClient)
  upstream.on('data', fromPostgres)
  // What Postgres says last, such as why it ends the session, is not kept from the client.
  upstream.on('end', () => client.end(Buffer.concat(underWay?.answer ?? [])))
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

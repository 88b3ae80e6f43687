/**
 * The wire between a client and Redis, command by command: each one waits at a gate before Redis hears of it, and again after Redis
 * has answered and before the client hears that. The other half of `postgres-wire.ts`.
 */
import type { Socket } from 'node:net'

import { inTurn, startWire, type Wire } from './wire.ts'

export type RedisGates = {
  before?: (command: Buffer) => Promise<void> | void
  after?: (command: Buffer, answer: Buffer) => Promise<void> | void
}

/** Shape: commands that a client sends together pass one by one, in their order. Knows no subscriptions. */
export async function startRedisWire(redisUrl: string, gates: RedisGates): Promise<Wire> {
  return await startWire(redisUrl, (client, upstream) => carry(client, upstream, gates))
}

function carry(client: Socket, upstream: Socket, gates: RedisGates): void {
  let answered: (answer: Buffer) => void = (unasked) => void client.write(unasked)
  const pass = inTurn(async (command: Buffer) => {
    await gates.before?.(command)
    if (upstream.destroyed) return
    const answer = await new Promise<Buffer>((resolve) => {
      answered = resolve
      upstream.write(command)
    })
    await gates.after?.(command, answer)
    if (!client.destroyed) client.write(answer)
  })
  client.on('data', valuesOf(pass))
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

/** A wire to a server that a test can hold: a listener of its own, and behind each client a connection to the server. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Wire = {
  /** The server's URL, by way of this wire. */
  url: string
  close: () => Promise<void>
}

/** Carries what goes through one connection; they are numbered from 1. */
export type Carry = (client: Socket, upstream: Socket, connection: number) => void

/** Shape: either end of a connection falls with the other. */
export async function startWire(targetUrl: string, carry: Carry): Promise<Wire> {
  const { hostname, port } = new URL(targetUrl)
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
    carry(client, upstream, connections)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  const through = new URL(targetUrl)
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

/** Passes what comes one by one: the next one waits until the one before it has passed. */
export function inTurn<Item>(pass: (item: Item) => Promise<void>): (item: Item) => void {
  let last = Promise.resolve()
  return (item) => {
    last = last.then(() => pass(item))
  }
}

/** A wire that can be cut: passes bytes between a client and Postgres, and drops the connection where a test says so. */
import { connect, createServer, type Socket } from 'node:net'

export type TcpProxy = {
  /** The given URL, by way of this proxy. */
  urlOf: (url: string) => string
  /**
   * Drops the next connection that runs this statement, after Postgres has answered: it has done it, and nobody hears. With
   * `having`, the next one whose transaction has sent that text before.
   */
  dropAnswerTo: (statement: string, options?: { having: string }) => Promise<void>
  /** Drops the next connection that runs this statement, before Postgres hears of it. */
  dropRequest: (statement: string) => Promise<void>
  /**
   * Holds back what Postgres answers to the next `commit` of the first transaction that has the text as a parameter: it is
   * committed, and whoever sent it waits.
   *
   * Shape: resolves when the answer is held; call what it gives to let it go.
   */
  holdCommitOf: (parameter: string) => Promise<() => void>
  close: () => Promise<void>
}

type Hold = { parameter: Buffer; done: (letGo: () => void) => void }

type Cut = { message: Buffer; having: string; when: 'unheard' | 'answered'; done: () => void }

const ends = ['commit', 'rollback'].map(queryMessage)

export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let cut: Cut | null = null
  let hold: Hold | null = null

  const server = createServer((client) => {
    const upstream = connect(target.port, target.host)
    const drop = (): void => {
      client.destroy()
      upstream.destroy()
    }
    let answerCut: Cut | null = null
    let isMeant = false
    let holding: Hold | null = null
    let heldBack: Buffer[] | null = null
    const letGo = (): void => {
      for (const bytes of heldBack ?? []) client.write(bytes)
      heldBack = null
    }
    client.on('data', (bytes) => {
      if (hold !== null && bytes.includes(hold.parameter)) {
        holding = hold
        hold = null
      }
      if (holding !== null && bytes.includes(queryMessage('commit'))) heldBack = []
      if (cut !== null && bytes.includes(cut.having)) isMeant = true
      if (cut !== null && isMeant && bytes.includes(cut.message)) {
        const { when, done } = cut
        if (when === 'answered') answerCut = cut
        cut = null
        if (when === 'unheard') {
          drop()
          done()
          return
        }
      }
      if (ends.some((end) => bytes.includes(end))) isMeant = false
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (heldBack !== null) {
        heldBack.push(bytes)
        holding?.done(letGo)
        holding = null
      } else if (answerCut === null) client.write(bytes)
      else {
        drop()
        answerCut.done()
      }
    })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', drop)
      socket.on('close', () => {
        sockets.delete(socket)
        drop()
      })
    }
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const cutAt = (statement: string, when: Cut['when'], having = ''): Promise<void> =>
    new Promise((resolve) => {
      cut = { message: queryMessage(statement), having, when, done: resolve }
    })

  return {
    urlOf: (url) => {
      const address = server.address()
      const through = new URL(url)
      through.hostname = '127.0.0.1'
      through.port = String(typeof address === 'object' && address !== null ? address.port : 0)
      return through.href
    },
    dropAnswerTo: (statement, options) => cutAt(statement, 'answered', options?.having),
    dropRequest: (statement) => cutAt(statement, 'unheard'),
    holdCommitOf: (parameter) =>
      new Promise((resolve) => {
        hold = { parameter: parameterBytes(parameter), done: resolve }
      }),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

/** A statement without parameters as it travels: `Q`, the length, the text, a zero. */
function queryMessage(statement: string): Buffer {
  const text = Buffer.from(`${statement}\0`)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length + length.length)
  return Buffer.concat([Buffer.from('Q'), length, text])
}

/** A text parameter as it travels: the length, the text. */
function parameterBytes(text: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(text))
  return Buffer.concat([length, Buffer.from(text)])
}

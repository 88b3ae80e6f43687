import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { startManagedServer } from '../../scripts/embedded/server-process.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'voice-wallet-server-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('takes another port when somebody was faster', async () => {
  const occupant = createServer()
  const takenPort = await new Promise<number>((resolve) => {
    occupant.listen(0, '127.0.0.1', () => resolve(Number(Object(occupant.address()).port)))
  })
  const asked: number[] = []

  const server = await startManagedServer({
    ...givenServer(),
    launch: async (freePort) => {
      const port = asked.length === 0 ? takenPort : freePort
      asked.push(port)
      return listenerOn(port)
    },
  })
  await server.stop()
  occupant.close()

  expect(asked).toHaveLength(2)
  expect(server.url).toBe(`tcp://127.0.0.1:${asked[1]}`)
})

test('fails with the end of its log when a server does not start', async () => {
  const start = startManagedServer({
    ...givenServer(),
    launch: async () => ({ ...listenerOn(0), command: ['sh', '-c', 'echo "the disk is full" >&2; exit 3'] }),
  })

  await expect(start).rejects.toThrow(/Sample did not start \(exit code 3\)[^]*the disk is full/)
})

test('reports a server that ends by itself, and none that was told to', async () => {
  const messages: string[] = []
  const server = await startManagedServer({ ...givenServer(), log: (message) => messages.push(message) })

  process.kill(server.pid ?? -1, 'SIGKILL')
  await vi.waitUntil(() => server.pid === null)
  await server.start()
  await server.stop()

  expect(messages).toEqual([`Sample ended by itself (SIGKILL); its log is ${join(directory, 'log')}`])
})

function givenServer() {
  return {
    name: 'Sample',
    urlOf: (port: number) => `tcp://127.0.0.1:${port}`,
    launch: async (port: number) => listenerOn(port),
    log: () => undefined,
  }
}

/** The least there is to a server: it listens, and says so in a file named after its process id. */
function listenerOn(port: number) {
  const program = `net.createServer().listen(${port}, '127.0.0.1', () => fs.writeFileSync(String(process.pid), ''))`
  return {
    command: [process.execPath, '--eval', program],
    directory,
    logFile: join(directory, 'log'),
    stopSignals: ['SIGTERM' as const],
    isReady: async (pid: number) => existsSync(join(directory, String(pid))),
  }
}

// A database server as a child process: started on a free loopback port, watched until it answers, stopped by its own
// process id. Servers lead their own process group, so that Ctrl-C in a terminal reaches us and not them: the workers
// drain first. How they end when we are killed is in setpriv.ts; what a killed machine leaves behind is found here.
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { isAlive, listProcessesIn } from './process-table.ts'

export type ManagedServer = {
  kind: 'embedded' | 'external'
  url: string
  /** Null for an external server, and while an embedded one is down. */
  readonly pid: number | null
  /** Starts it again, on the same port with the same data; does nothing when it runs. */
  start(): Promise<void>
  /** Asks it to finish and waits until it is gone. */
  stop(): Promise<void>
  /** kill -9, to see what survives. */
  kill(): Promise<void>
}
type Launch = {
  command: string[]
  directory: string
  logFile: string
  environment?: NodeJS.ProcessEnv
  stopSignals: NodeJS.Signals[]
  isReady: (pid: number) => Promise<boolean>
}
type RunningServer = { pid: number; isRunning(): boolean; end(signals: NodeJS.Signals[]): Promise<void> }

const pollMs = 20
const patienceMs = 10_000
const startDeadlineMs = 120_000

/** Starts a server on a free port (another one when somebody was faster) and keeps that port over restarts. */
export async function startManagedServer(options: {
  name: string
  launch: (port: number) => Promise<Launch>
  urlOf: (port: number) => string
  log: (message: string) => void
}): Promise<ManagedServer> {
  const { name, log } = options
  let port = 0
  let current: RunningServer | 'port_taken' = 'port_taken'
  let stopSignals: NodeJS.Signals[] = []
  let expectedToRun = false

  const launchOn = async (chosen: number): Promise<RunningServer | 'port_taken'> => {
    const launch = await options.launch(chosen)
    stopSignals = launch.stopSignals
    return launchServer(name, launch, log, (how) => {
      if (expectedToRun) log(`${name} ended by itself (${how}); its log is ${launch.logFile}`)
    })
  }
  for (let attempt = 1; current === 'port_taken' && attempt <= 5; attempt += 1) {
    port = await pickFreePort()
    current = await launchOn(port)
  }
  if (current === 'port_taken') throw new Error(`${name} found no free port on 127.0.0.1`)
  expectedToRun = true

  const end = async (signals: NodeJS.Signals[]): Promise<void> => {
    expectedToRun = false
    if (current !== 'port_taken') await current.end(signals)
  }
  return {
    kind: 'embedded',
    url: options.urlOf(port),
    get pid() {
      return current !== 'port_taken' && current.isRunning() ? current.pid : null
    },
    async start() {
      if (current !== 'port_taken' && current.isRunning()) return
      current = await launchOn(port)
      if (current === 'port_taken')
        throw new Error(`${name} cannot start again: port ${port} was taken meanwhile`)
      expectedToRun = true
    },
    stop: () => end(stopSignals),
    kill: () => end(['SIGKILL']),
  }
}

/** The same shape for a server that is not ours: it is never started or stopped. */
export function externalServer(url: string): ManagedServer {
  return { kind: 'external', url, pid: null, start: refuse, stop: async () => undefined, kill: refuse }
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('This server is external: it is not ours to start or kill.'))
}

/** Stops servers that an earlier, killed run left in this directory, the one named by the pid file first. */
export async function stopOrphans(options: {
  directory: string
  pidFile: string
  names: string[]
  stopSignals: NodeJS.Signals[]
}): Promise<number> {
  const noted = Number.parseInt(await readFile(options.pidFile, 'utf8').catch(() => ''), 10)
  const find = () =>
    listProcessesIn(options.directory, { names: options.names, knownPids: noted > 0 ? [noted] : [] })
  const found = await find()
  if (found.length === 0) return 0

  const leader = found.includes(noted) ? [noted] : []
  await endAll(leader, options.stopSignals)
  // A server's own children go with it; whoever has not after a while is told to.
  const deadline = Date.now() + patienceMs
  while ((await find()).length > 0 && Date.now() < deadline && leader.length > 0) await delay(pollMs)
  await endAll(await find(), ['SIGQUIT', 'SIGKILL'])
  return found.length
}

/** The name the process table shows for a program: Linux keeps 15 characters. */
export function commandName(path: string): string {
  return basename(path).slice(0, 15)
}

async function launchServer(
  name: string,
  launch: Launch,
  log: (message: string) => void,
  onExit: (how: string) => void,
): Promise<RunningServer | 'port_taken'> {
  const logDescriptor = openSync(launch.logFile, 'a', 0o600)
  const logStart = fstatSync(logDescriptor).size
  const [command = '', ...args] = launch.command
  const child = spawn(command, args, {
    cwd: launch.directory,
    detached: true,
    env: launch.environment ?? process.env,
    stdio: ['ignore', logDescriptor, logDescriptor],
  })
  closeSync(logDescriptor)

  const life: { ended: string | null } = { ended: null }
  child.once('error', (error) => {
    life.ended ??= error.message
  })
  const endWithUs = () => child.kill('SIGINT')
  process.once('exit', endWithUs)
  child.once('exit', (code, signal) => {
    life.ended ??= signal ?? `exit code ${code}`
    process.removeListener('exit', endWithUs)
    onExit(life.ended)
  })
  // A script that ends without stopping its servers must not hang because of them.
  child.unref()

  const { pid } = child
  const server: RunningServer = {
    pid: pid ?? -1,
    isRunning: () => life.ended === null,
    end: (signals) =>
      endProcess(
        () => life.ended === null,
        (signal) => child.kill(signal),
        signals,
      ),
  }

  const startedAt = Date.now()
  let told = false
  while (life.ended === null) {
    if (pid !== undefined && (await launch.isReady(pid))) return server
    const waitedMs = Date.now() - startedAt
    if (waitedMs > startDeadlineMs) break
    if (waitedMs > 1500 && !told) log(`waiting for ${name} to be ready...`)
    told ||= waitedMs > 1500
    await delay(pollMs)
  }

  await server.end(['SIGKILL'])
  const output = await readTail(launch.logFile, logStart)
  if (/address already in use/i.test(output)) return 'port_taken'
  throw new Error(
    `${name} did not start (${life.ended ?? 'no answer'}). Its log, ${launch.logFile}, ends with:\n${output}`,
  )
}

async function endAll(pids: number[], signals: NodeJS.Signals[]): Promise<void> {
  await Promise.all(
    pids.map((pid) =>
      endProcess(
        () => isAlive(pid),
        (signal) => {
          try {
            process.kill(pid, signal)
          } catch {
            // It went by itself in the meantime.
          }
        },
        signals,
      ),
    ),
  )
}

/** Each signal gets its time; the last resort is always SIGKILL. */
async function endProcess(
  isRunning: () => boolean | Promise<boolean>,
  send: (signal: NodeJS.Signals) => unknown,
  signals: NodeJS.Signals[],
): Promise<void> {
  for (const signal of [...signals, 'SIGKILL'] as const) {
    if (!(await isRunning())) return
    send(signal)
    const deadline = Date.now() + patienceMs
    while ((await isRunning()) && Date.now() < deadline) await delay(pollMs)
  }
}

async function readTail(path: string, from: number): Promise<string> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const start = Math.max(from, size - 4000)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start)
    return buffer.subarray(0, bytesRead).toString('utf8').trim()
  } finally {
    await file.close()
  }
}

/** Of this machine's own address; somebody else may take it before it is used. */
export function pickFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}

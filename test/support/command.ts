/**
 * Our commands as they are, without what starting node and reading every module costs each time: a process that stays runs one
 * after another. That a command is started by npm, and ends, is told of each by one run of `run-script.ts`.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import type { CommandCall, CommandEnd } from './command-host.ts'
import type { Place } from './fixtures.ts'
import { environmentOf, type ScriptEnd } from './run-script.ts'

const program = fileURLToPath(new URL('command-host.ts', import.meta.url))

/** They end with this process, whose files may all use them. */
const idle: ChildProcess[] = []

/**
 * Shape:  as `runScript`; while one command runs, another one runs in another process.
 * Throws: when the command left something open, or ended its process.
 */
export async function runCommand(name: string, args: readonly string[], place?: Place): Promise<ScriptEnd> {
  const host = idle.pop() ?? startHost()
  const { kept, ...end } = await ask(host, { name, args, environment: textsOf(environmentOf(place)) })
  idle.push(host)
  if (kept.length === 0) return end
  throw new Error(`${name} would not have ended: it left open ${kept.join(', ')}\n${end.stdout}${end.stderr}`)
}

function startHost(): ChildProcess {
  const host = fork(program, {
    execPath: process.execPath,
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  host.unref()
  host.channel?.unref()
  return host
}

async function ask(host: ChildProcess, call: CommandCall): Promise<CommandEnd> {
  const answered = new AbortController()
  const { signal } = answered
  const ended = once(host, 'exit', { signal }).then(([code, killedBy]: unknown[]) => {
    throw new Error(`${call.name} ended its process: ${String(killedBy ?? code)}`)
  })
  try {
    host.send(call)
    const [end]: CommandEnd[] = await Promise.race([once(host, 'message', { signal }), ended])
    if (end === undefined) throw new Error(`${call.name} said nothing of its end`)
    return end
  } finally {
    answered.abort()
  }
}

function textsOf(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])),
  )
}

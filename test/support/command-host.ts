/**
 * A process that runs our commands one after another, as `command.ts` asks: each as if node had just been started for it, with
 * words, an environment and an exit code of its own, except that what it imports has been read already.
 *
 * It holds a command to what ending a process would otherwise hide: when its work is done, nothing may be left open.
 */
import { isDeepStrictEqual } from 'node:util'

import { until } from './until.ts'

export type CommandCall = { name: string; args: readonly string[]; environment: Record<string, string> }

/** `kept`: what the command left open, by which its process would go on living. */
export type CommandEnd = { stdout: string; stderr: string; code: number; kept: string[] }

let calls = 0

// Opened here, so that they count as what was open before.
const output = { stdout: process.stdout, stderr: process.stderr }

process.on('message', (call: CommandCall) => {
  void serve(call).then((end) => process.send?.(end))
})
process.on('disconnect', () => process.exit(0))

async function serve({ name, args, environment }: CommandCall): Promise<CommandEnd> {
  const file = new URL(`../../scripts/${name}.ts`, import.meta.url)
  // Another name for the same file: it is evaluated once more, and all that it imports is not.
  calls += 1
  file.search = `call=${calls}`
  for (const variable of Object.keys(process.env)) delete process.env[variable]
  Object.assign(process.env, environment)
  process.argv = [process.execPath, file.pathname, ...args]
  process.exitCode = undefined
  const before = process.getActiveResourcesInfo()
  const stdout = capture(output.stdout)
  const stderr = capture(output.stderr)
  try {
    await import(file.href)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exitCode = 1
  }
  const kept = await leftOpen(before)
  const code = process.exitCode ?? 0
  process.exitCode = undefined
  return { stdout: stdout(), stderr: stderr(), code, kept }
}

/** Shape: gives what was written, and lets the stream be written to again. */
function capture(stream: NodeJS.WriteStream): () => string {
  const chunks: string[] = []
  stream.write = (chunk: string | Uint8Array): boolean => {
    chunks.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'))
    return true
  }
  return () => {
    // The stream's own way of writing is under the one that was put on it.
    Reflect.deleteProperty(stream, 'write')
    stream.removeAllListeners('error')
    return chunks.join('')
  }
}

/** Sockets and servers take a moment to close. */
async function leftOpen(before: string[]): Promise<string[]> {
  const kept = (): string[] => {
    const known = [...before]
    return process.getActiveResourcesInfo().filter((each) => {
      const place = known.indexOf(each)
      if (place !== -1) known.splice(place, 1)
      return place === -1
    })
  }
  await until('the command lets go of everything', () => isDeepStrictEqual(kept(), []), {
    withinMs: 20_000,
  }).catch(() => undefined)
  return kept()
}

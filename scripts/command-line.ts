/** How every script of ours meets its user: --help, errors that say what to do, and exit codes (0 done, 1 failed, 2 misused). */
import { parseArgs, type ParseArgsConfig } from 'node:util'

import { BillingError } from '../billing/billing-error.ts'

type Options = NonNullable<ParseArgsConfig['options']>

type Values<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T & { help: { type: 'boolean' } }; allowPositionals: true }>
>['values']

/** A mistake in the words of the call. */
export class Misuse extends Error {}

/**
 * Runs a script's body with its options and positional words, and ends the process with its exit code.
 *
 * Shape: `run` returns the exit code, 0 when it returns none.
 */
export async function runScript<const T extends Options>({
  name,
  usage,
  options,
  run,
}: {
  name: string
  usage: string
  options: T
  run: (values: Values<T>, words: string[]) => Promise<number | void>
}): Promise<void> {
  // Whoever reads us may have seen enough (`| head`).
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
  try {
    const { values, positionals } = parseArgs({
      options: { ...options, help: { type: 'boolean' } },
      allowPositionals: true,
    })
    if ('help' in values && values.help === true) {
      process.stdout.write(`${usage.trim()}\n`)
      return
    }
    process.exitCode = (await run(values, positionals)) ?? 0
  } catch (error) {
    process.exitCode = isMisuse(error) ? 2 : 1
    process.stderr.write(`${name}: ${explain(error)}\n`)
    if (isMisuse(error)) process.stderr.write(`Try: npm run -s ${name} -- --help\n`)
  }
}

/** A whole number from a word of the command line. Throws: Misuse. */
export function wholeNumber(
  option: string,
  text: string,
  { least, most }: { least: number; most: number },
): number {
  const value = /^\d+$/.test(text) ? Number.parseInt(text, 10) : Number.NaN
  if (value >= least && value <= most) return value
  throw new Misuse(`${option}: expected a whole number from ${least} to ${most}, got "${text}"`)
}

function isMisuse(error: unknown): boolean {
  return (
    error instanceof Misuse ||
    (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  )
}

/** Our own errors say what to do; of any other the stack says where it came from. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof BillingError || isMisuse(error) || process.env['DEBUG'] === undefined)
    return error.message
  return error.stack ?? error.message
}

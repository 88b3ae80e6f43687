/** The words of money in that a person types: amounts, workspaces, top-ups. What is wrong is named with its option and a reason. */
import { topUpId, workspaceId, type TopUpId, type WorkspaceId } from '../../billing/ids.ts'
import { displayUsdExact, micros, parseUsd, type Micros } from '../../billing/money.ts'
import { leastTopUpMicros, mostTopUpMicros } from '../../billing/top-up.ts'
import { Misuse } from '../command-line.ts'

/** Throws: Misuse. */
export function readWorkspaceId(text: string | undefined): WorkspaceId {
  const parsed = workspaceId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new Misuse(`expected a workspace such as ws_acme${text === undefined ? '' : `, got "${text}"`}`)
}

/** Throws: Misuse. */
export function readTopUpId(text: string): TopUpId {
  const parsed = topUpId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new Misuse(`expected a top-up such as topup_1a2b, got "${text}"`)
}

/** What a top-up may be: whole cents within our limits. Throws: Misuse. */
export function readTopUpAmount(option: string, text: string): Micros {
  return readDollars(option, text, { least: leastTopUpMicros, most: mostTopUpMicros })
}

/** Dollars to the cent, with or without a dollar sign. Throws: Misuse. */
export function readDollars(
  option: string,
  text: string,
  { least, most }: { least: bigint; most: bigint },
): Micros {
  const amount = microsOf(text)
  const reason =
    amount === null
      ? 'expected dollars such as 20 or 12.50'
      : amount % 10_000n !== 0n
        ? 'expected whole cents'
        : amount < least || amount > most
          ? `expected ${displayUsdExact(micros(least))} to ${displayUsdExact(micros(most))}`
          : null
  if (amount !== null && reason === null) return amount
  throw new Misuse(`${option}: ${reason}, got "${text}"`)
}

function microsOf(text: string): Micros | null {
  const decimal = text.replace(/^\$/, '')
  return /^(?:0|[1-9]\d{0,8})(?:\.\d{1,6})?$/.test(decimal) ? parseUsd(decimal) : null
}

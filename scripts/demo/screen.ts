/** The screen of `npm start`: lines that scroll, and one live line below them that is written anew in place. */
import { stripVTControlCharacters, styleText } from 'node:util'

import { displayUsd, displayUsdExact, micros, type Micros } from '../../billing/money.ts'
import { duration } from '../money-in/text.ts'
import type { WalletMovement } from './watch-wallet.ts'

export type Screen = {
  print: (line: string) => void
  /** Replaces the live line. Where the output is no terminal it is printed now and then instead. */
  live: (line: string) => void
  /** Leaves the live line where it is. */
  end: () => void
}

/** `liveEveryMs`: how often the live line is printed where it cannot be written anew. */
export function createScreen(output: NodeJS.WriteStream, { liveEveryMs = 2_000 } = {}): Screen {
  let shown = ''
  let printedAt = 0
  const clear = (): string => (shown === '' || !output.isTTY ? '' : '\r\u001b[2K')
  return {
    print: (line) => {
      output.write(`${clear()}${line}\n${output.isTTY ? shown : ''}`)
    },
    live: (line) => {
      if (output.isTTY) {
        const wide = stripVTControlCharacters(line).length > output.columns
        const fitting = wide ? stripVTControlCharacters(line).slice(0, output.columns - 1) : line
        output.write(`${clear()}${fitting}`)
        shown = fitting
      } else if (line !== shown && performance.now() - printedAt > liveEveryMs) {
        output.write(`${line}\n`)
        printedAt = performance.now()
        shown = line
      }
    },
    end: () => {
      if (output.isTTY && shown !== '') output.write('\n')
      shown = ''
    },
  }
}

export const movementHeader = styleText(
  'dim',
  `  ${'time'.padEnd(10)}${'what'.padEnd(28)}${'to'.padEnd(16)}${'talk'.padStart(7)}${'cost'.padStart(13)}${'balance'.padStart(12)}`,
)

export function movementLine(movement: WalletMovement): string {
  const { kind, reference, amountMicros, balanceAfterMicros, postedAt, to, seconds } = movement
  const time = timeOf(postedAt)
  const what = kind === 'call' || kind === 'message' ? reference : `${kind} for ${reference}`
  const talk = seconds === null ? '' : minutesAndSeconds(seconds)
  const cost = displayUsdExact(amountMicros)
  const balance = displayUsd(balanceAfterMicros).padStart(12)
  const left = `  ${time.padEnd(10)}${what.padEnd(28)}${(to ?? '').padEnd(16)}${talk.padStart(7)}`
  const paid = styleText(amountMicros < 0n ? 'yellow' : 'green', cost.padStart(13))
  return left + paid + styleText(balanceAfterMicros < 0n ? 'red' : 'bold', balance)
}

/** A recharge that was decided: the line between the call that caused it and the ones after it. */
export function rechargeLine({
  at,
  balanceMicros,
  thresholdMicros,
  amountMicros,
  card,
}: {
  at: Date
  balanceMicros: Micros
  thresholdMicros: Micros
  amountMicros: Micros
  card: string
}): string {
  const text =
    `balance ${displayUsd(balanceMicros)} is below ${displayUsd(thresholdMicros)}: ` +
    `charging ${card} with ${displayUsd(amountMicros)}`
  return `  ${timeOf(at).padEnd(10)}${styleText('cyan', text)}`
}

/** The credit that it brought, in the columns of the calls. */
export function creditLine(
  movement: WalletMovement,
  { card, tookMs }: { card: string; tookMs: number },
): string {
  const { amountMicros, balanceAfterMicros, postedAt } = movement
  const left = `  ${timeOf(postedAt).padEnd(10)}${`credited from ${card}`.padEnd(28)}${`after ${duration(tookMs)}`.padEnd(23)}`
  const amount = `+${displayUsdExact(amountMicros)}`.padStart(13)
  return (
    styleText('cyan', left) +
    styleText('green', amount) +
    styleText(['bold', 'green'], displayUsd(balanceAfterMicros).padStart(12))
  )
}

/** A recharge that brought nothing, and why. */
export function refusedLine({ at, text }: { at: Date; text: string }): string {
  return `  ${timeOf(at).padEnd(10)}${styleText('red', text)}`
}

function timeOf(at: Date): string {
  return at.toISOString().slice(11, 19)
}

export function liveLine(state: {
  eventsPerSecond: number
  p99Ms: number | null
  balanceMicros: Micros
  progress: string
}): string {
  const p99 = state.p99Ms === null ? '-' : `${Math.round(state.p99Ms)} ms`
  const balance = displayUsd(micros(state.balanceMicros))
  return (
    `${styleText('cyan', '▸')} ${String(state.eventsPerSecond).padStart(5)} events/s   ` +
    `p99 ${p99.padStart(6)}   balance ${styleText('bold', balance)}   ${state.progress}`
  )
}

/** Of a clock that runs fast: which day it is, and how the wallet and its numbers stand. */
export function rentLiveLine(state: {
  date: string
  balanceMicros: Micros
  day: number
  days: number
  numbers: string
}): string {
  const balance = styleText('bold', displayUsd(state.balanceMicros).padStart(7))
  return (
    `${styleText('cyan', '▸')} ${state.date.padStart(11)}  balance ${balance}   ` +
    `day ${String(state.day).padStart(String(state.days).length)} of ${state.days}   ${state.numbers}`
  )
}

function minutesAndSeconds(seconds: number): string {
  const whole = Math.ceil(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}

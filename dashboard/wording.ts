/** Money, times and counts in words, as all pages say them. */
import { displayUsd, displayUsdExact, formatUsd, micros, type Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'

/** To the cent, down. The minus is one that is read aloud as such. */
export function money(amount: Micros): string {
  return displayUsd(amount).replace('-', '\u2212')
}

/** Exact: as many decimals as it takes. */
export function exactMoney(amount: Micros): string {
  return displayUsdExact(amount).replace('-', '\u2212')
}

/** What came in has a plus and is green; what went out is plain. */
export function change(amount: Micros): Html {
  if (amount > 0n) return html`<span class="credit">+${exactMoney(amount)}</span>`
  return html`<span>${exactMoney(amount)}</span>`
}

/** To the cent and up: what something costs is not shown as less. */
export function cost(amount: Micros): string {
  const rest = amount % centMicros
  return money(rest > 0n ? micros(amount - rest + centMicros) : amount)
}

const centMicros = 10_000n
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** `26 Nov 2026, 14:05`, UTC, with the exact instant for whoever asks. */
export function time(at: Date): Html {
  const text = `${day(at)}, ${at.toISOString().slice(11, 16)}`
  return html`<time datetime="${at.toISOString()}">${text}</time>`
}

/** `26 Nov 2026`, UTC. */
export function day(at: Date): string {
  return `${at.getUTCDate()} ${months[at.getUTCMonth()] ?? ''} ${at.getUTCFullYear()}`
}

/** `26 Nov` of `2026-11-26`. */
export function shortDay(date: string): string {
  const [, month = '', dayOfMonth = ''] = date.split('-')
  return `${dayOfMonth.replace(/^0/, '')} ${months[Number(month) - 1] ?? ''}`
}

/** `1 call`, `1,234 calls`. */
export function count(amount: bigint | number, one: string, many = `${one}s`): string {
  return `${groupDigits(amount)} ${BigInt(amount) === 1n ? one : many}`
}

/** `1,234,567` */
export function groupDigits(amount: bigint | number): string {
  return amount.toString().replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
}

/** Seconds as `1 h 02 min`, `3 min 05 s`, `42 s`. */
export function duration(seconds: bigint): string {
  if (seconds >= 3_600n) return `${groupDigits(seconds / 3_600n)} h ${twoDigits((seconds / 60n) % 60n)} min`
  return seconds >= 60n ? `${seconds / 60n} min ${twoDigits(seconds % 60n)} s` : `${seconds} s`
}

export const meterTitles: Partial<Record<string, string>> = {
  voice: 'Voice',
  telephony: 'Telephony',
  recording: 'Recording',
  message: 'Messages',
  number_rental: 'Number rental',
}

/** As it is typed into a field: `20`, `12.50`. */
export function typedMoney(amount: Micros): string {
  return formatUsd(amount)
    .replace(/\.?0+$/, '')
    .replace(/\.(\d)$/, '.$10')
}

function twoDigits(part: bigint): string {
  return part.toString().padStart(2, '0')
}

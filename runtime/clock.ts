/**
 * A clock that does not show the real time: a year in six minutes for a demo, a month later for a test. Postgres reads the same
 * text (`wallet_now()`, migration 9), so what Node and what Postgres say is the same instant to within what Node's milliseconds allow.
 */
import { BillingError } from '../billing/billing-error.ts'

export type BusinessClock = {
  /** As Postgres takes it in `wallet.clock`. */
  readonly setting: string
  /** Seconds that pass on it in one. */
  readonly rate: number
  now: () => Date
}

const instant = String.raw`(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z)`
const pattern = new RegExp(`^${instant}/${instant}/([1-9]\\d{0,5})$`)

/**
 * Shape:  `<instant it showed>/<real instant at which it showed that>/<rate>`, such as
 *         `2026-01-31T09:00:00Z/2026-11-26T14:00:00.000Z/86400`; the rate is a whole number below a million.
 * Throws: BillingError `malformed_clock`.
 */
export function parseClock(setting: string, readRealTime: () => number = Date.now): BusinessClock {
  const [, shown = '', real = '', rateText = ''] = pattern.exec(setting) ?? []
  if (!isInstant(shown) || !isInstant(real)) {
    throw new BillingError(
      'malformed_clock',
      `expected <instant it showed>/<real instant>/<rate>, such as 2026-01-31T09:00:00Z/2026-11-26T14:00:00.000Z/86400`,
    )
  }
  const rate = Number(rateText)
  const [shownMs, realMs] = [Date.parse(shown), Date.parse(real)]
  return { setting, rate, now: () => new Date(shownMs + rate * (readRealTime() - realMs)) }
}

/** A clock that shows an instant now and goes on from there at a rate. */
export function startClock(shown: Date, { rate }: { rate: number }): BusinessClock {
  return parseClock(`${shown.toISOString()}/${new Date().toISOString()}/${rate}`)
}

/** Dates there never were, such as 30 February, are moved by Node and refused by Postgres. */
function isInstant(text: string): boolean {
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 19))
}

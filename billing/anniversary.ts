/** The calendar of rentals: when the n-th month of something begins, always computed from the day on which it began. */

/** A rental period: from `startsAt` until just before `endsAt`, which is where the next one starts. */
export type RentalPeriod = { readonly startsAt: Date; readonly endsAt: Date }

/**
 * The instant so many months after an anchor: the same time of day, UTC, on the anchor's day of the month, or on the month's last
 * day where it has no such day. Nothing drifts: 31 January, 28 February, 31 March.
 *
 * Units: `months` is a whole number, zero or above.
 */
export function anniversary(anchor: Date, months: number): Date {
  const month = anchor.getUTCMonth() + months
  const lastDay = new Date(Date.UTC(anchor.getUTCFullYear(), month + 1, 0)).getUTCDate()
  const date = new Date(anchor)
  // Year, month and day at once: one after the other they would pass through days that are not there.
  date.setUTCFullYear(anchor.getUTCFullYear(), month, Math.min(anchor.getUTCDate(), lastDay))
  return date
}

/** The period with that number; the first is 0 and starts at the anchor. */
export function rentalPeriod(anchor: Date, index: number): RentalPeriod {
  return { startsAt: anniversary(anchor, index), endsAt: anniversary(anchor, index + 1) }
}

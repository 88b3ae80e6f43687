/** What a zod schema found wrong, as one line for people that names each field. */
import type { z } from 'zod'

/**
 * Such as `telephony.44.intervals.0.per_minute_usd: expected ...; colour: unknown field`. Beyond `most` issues the rest is
 * counted, because a file can have thousands.
 */
export function describeIssues(error: z.ZodError, { most = 5 }: { most?: number } = {}): string {
  const described = error.issues.slice(0, most).map(describeIssue)
  const unnamed = error.issues.length - described.length
  return unnamed > 0 ? `${described.join('; ')}; and ${unnamed} more` : described.join('; ')
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${[path, key].filter(Boolean).join('.')}: unknown field`).join('; ')
  }
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
  return path === '' ? message : `${path}: ${message}`
}

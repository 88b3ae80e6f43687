/**
 * Takes out of a value what its reader need not know: phone numbers, e-mail addresses, keys and secrets. By the names of fields,
 * and by what they look like wherever they stand in a text, so that an error message does not tell what the payload hides.
 */

const hidden = '[hidden]'

/** Whole names, or parts of them: `apiKey`, `webhook_secret`, `toNumber`. */
const secretName =
  /^(?:to|from)$|(?:to|from|phone|caller)_?number$|phone|secret|password|passwd|token|authorization|cookie|signature|e_?mail|api_?key|private_?key|card_?number|cvv/i

const secretTexts: readonly [pattern: RegExp, instead: string][] = [
  // E.164, with the punctuation that people put into it.
  [/\+[1-9](?:[\s().-]?\d){6,14}(?!\d)/g, '[phone]'],
  [/[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g, '[email]'],
  [/\b(?:sk_call2me_|pdl_|apikey_)\w+/g, '[key]'],
  [/\bBearer\s+\S+/gi, 'Bearer [key]'],
]

/** Deeper than any payload of ours; what a stranger nests deeper is not shown. */
const deepest = 12

/** Shape: a copy; numbers and booleans stay, names of fields stay. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return value
  if (depth >= deepest) return hidden
  if (Array.isArray(value)) return value.map((each) => redact(each, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, redactField(name, each, depth)]),
  )
}

function redactField(name: string, value: unknown, depth: number): unknown {
  const isShown = value === null || value === undefined || typeof value === 'boolean'
  return secretName.test(name) && !isShown ? hidden : redact(value, depth + 1)
}

function redactText(text: string): string {
  return secretTexts.reduce((left, [pattern, instead]) => left.replaceAll(pattern, instead), text)
}

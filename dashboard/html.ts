/**
 * Markup. Whatever is put into it is text and is escaped, unless it was made here: a name that somebody else chose cannot become a
 * tag, an attribute or a script. There is no way to put markup in that is only a string.
 */
import { html as escaping } from 'hono/html'

import { BillingError } from '../billing/billing-error.ts'

/** Markup that is safe to show: made by `html` alone. */
export type Html = { toString: () => string; readonly isEscaped: true }

/** Of `false`, `null` and `undefined` nothing is shown. */
export type Part = string | number | Html | false | null | undefined | readonly Html[]

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  const markup = escaping(strings, ...parts)
  if (markup instanceof Promise)
    throw new BillingError('late_markup', 'Markup was put together of what is not there yet')
  return markup
}

/** Attributes that are there or not, such as `checked`. */
export function flag(
  name: 'checked' | 'selected' | 'disabled' | 'required' | 'open',
  isSet: boolean,
): Html | null {
  return isSet ? html` ${name}` : null
}

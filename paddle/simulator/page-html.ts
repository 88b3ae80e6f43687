/** The look of the simulator's pages: one file, no scripts, light and dark, and plainly not the real thing. */

export type PageRequest = { method: string; url: URL; body: string }

export type PageAnswer = { status: number; headers: Record<string, string>; html: string }

/** Markup that is safe to show: made by `html` alone. */
export type Html = { readonly markup: string }

type Part = string | number | Html | null | readonly Html[]

/** Whatever is put in is text, unless `html` made it. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  const markup = strings.reduce((soFar, text, index) => {
    const part = parts[index]
    return `${soFar}${text}${part === undefined ? '' : markupOf(part)}`
  }, '')
  return { markup }
}

export function page(title: string, content: Html, status = 200): PageAnswer {
  const { markup } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        <title>${title} - Paddle simulator</title>
        <style>
          ${style}
        </style>
      </head>
      <body>
        <p class="notice"><strong>Paddle simulator:</strong> no real money</p>
        <main>${content}</main>
      </body>
    </html>`
  return {
    status,
    headers: {
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
    html: markup,
  }
}

/** See other: what was posted is done, and reloading does not do it again. */
export function redirect(location: string): PageAnswer {
  return { status: 303, headers: { location }, html: '' }
}

/** Where the customer came from, when that is a page at all. */
export function returnUrlIn(url: URL): string | null {
  const given = url.searchParams.get('return_url')
  if (given === null || !URL.canParse(given)) return null
  return ['http:', 'https:'].includes(new URL(given).protocol) ? given : null
}

/** `10000` and USD: "$100.00". Shape: minor units as Paddle writes them. */
export function formatMoney(amount: string, currency: string): string {
  const format = new Intl.NumberFormat('en-US', { style: 'currency', currency })
  const decimals = format.resolvedOptions().maximumFractionDigits ?? 2
  const digits = amount.padStart(decimals + 1, '0')
  const units = BigInt(digits.slice(0, digits.length - decimals))
  if (decimals === 0) return format.format(units)
  const fraction = digits.slice(-decimals)
  return format
    .formatToParts(units)
    .map((part) => (part.type === 'fraction' ? fraction : part.value))
    .join('')
}

function markupOf(part: Part): string {
  if (part === null) return ''
  if (typeof part === 'number') return String(part)
  if (typeof part === 'string') return escapeHtml(part)
  if ('markup' in part) return part.markup
  return part.map(({ markup }) => markup).join('')
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}

const style: Html = {
  markup: `
  :root { color-scheme: light dark; --ink: light-dark(#1c2430, #e7eaf0); --soft: light-dark(#5b6675, #9aa5b5);
    --paper: light-dark(#ffffff, #1b212b); --ground: light-dark(#f3f5f8, #12161d); --line: light-dark(#d9dee6, #333c4a);
    --accent: light-dark(#1f5fd6, #6ea0ff); --on-accent: light-dark(#ffffff, #0d1420); --bad: light-dark(#a3251d, #ff9d94);
    --good: light-dark(#13683c, #7fd6a5); --notice: light-dark(#fff3cf, #3a3115); }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
  .notice { margin: 0; padding: .5rem 1rem; background: var(--notice); text-align: center; font-size: .9rem; }
  main { max-width: 28rem; margin: 2rem auto; padding: 1.5rem; background: var(--paper); border: 1px solid var(--line);
    border-radius: 12px; }
  h1 { margin: 0 0 1rem; font-size: 1.3rem; }
  p { margin: .75rem 0; }
  dl { display: grid; grid-template-columns: 1fr auto; gap: .25rem 1rem; margin: 0 0 1.25rem; }
  dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
  .total { font-weight: 600; border-top: 1px solid var(--line); padding-top: .4rem; margin-top: .2rem; }
  form { display: grid; gap: .9rem; }
  label { display: grid; gap: .25rem; font-size: .9rem; color: var(--soft); }
  label.tick { display: flex; gap: .6rem; align-items: baseline; color: var(--ink); font-size: 1rem; }
  input, select { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
    border-radius: 8px; padding: .55rem .7rem; width: 100%; min-width: 0; }
  .tick input { width: auto; }
  .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem; }
  button { font: inherit; font-weight: 600; padding: .7rem; border: 0; border-radius: 8px; background: var(--accent);
    color: var(--on-accent); cursor: pointer; }
  button:focus-visible, input:focus-visible, select:focus-visible, a:focus-visible { outline: 3px solid var(--accent);
    outline-offset: 2px; }
  a { color: var(--accent); }
  .bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); font-size: .9rem; }
  @media (max-width: 30rem) { main { margin: 0; border: 0; border-radius: 0; } }
  `,
}

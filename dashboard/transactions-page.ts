/** Every transaction of the wallet: filtered, page by page, and all of them as CSV. */
import { ledgerTransactionKinds, type LedgerTransactionKind } from '../billing/ledger-draft.ts'
import { selectField, textField, type Typed } from './form.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { paths, places } from './places.ts'
import { transactionTable, type TransactionRow } from './transaction-rows.ts'
import { count, groupDigits } from './wording.ts'

export type TransactionsView = {
  rows: readonly TransactionRow[]
  /** How many the filters find. */
  total: bigint
  offset: number
  limit: number
  /** As they stand in the address. */
  filters: Typed
  /** The last page is as near as the first. */
  mostOffset: number
}

/** The filters, by the names that they have in the address and in the API. */
export const filterNames = [
  'call_id',
  'kind',
  'from',
  'to',
  'agent_id',
  'campaign_id',
  'chat_id',
  'number',
] as const

const kindTitles: Record<LedgerTransactionKind, string> = {
  call: 'Calls',
  message: 'Chat messages',
  number_rental: 'Number rentals',
  top_up: 'Top-ups',
  grant: 'Credit given',
  refund: 'Refunds',
  chargeback: 'Disputes',
  adjustment: 'Adjustments',
  reversal: 'Reversals',
}

export function transactionsPage(frame: Frame, view: TransactionsView): Html {
  const { rows, total, filters } = view
  const isFiltered = Object.keys(filters.values).length > 0
  return page(
    frame,
    {},
    html`${filterForm(view)}
      <section class="card" aria-labelledby="found-title">
        <header>
          <h2 id="found-title">${count(total, 'transaction')}${isFiltered ? ' found' : ''}</h2>
          <a href="${paths.csv}${queryText(filters.values)}" download>Download as CSV</a>
        </header>
        ${
          rows.length === 0
            ? html`<p class="empty">
                ${isFiltered ? 'Nothing fits these filters.' : 'Nothing has happened yet.'}
              </p>`
            : transactionTable('Transactions, newest first', rows)
        }
        ${pages(view)}
      </section>`,
  )
}

function filterForm({ filters: typed }: TransactionsView): Html {
  const { values } = typed
  const isFiltered = Object.keys(values).length > 0
  const more = ['from', 'to', 'agent_id', 'campaign_id'].some((name) => values[name] !== undefined)
  return html`<form
    class="card stack"
    method="get"
    action="${places.transactions.path}"
    role="search"
    aria-label="Transactions"
  >
    <div class="fields">
      ${textField({ name: 'call_id', label: 'Call', type: 'search', hint: 'The whole id, such as call_1a2b.', typed })}
      ${selectField({
        name: 'kind',
        label: 'Kind',
        choices: [
          { value: '', title: 'All kinds' },
          ...ledgerTransactionKinds.map((value) => ({ value, title: kindTitles[value] })),
        ],
        typed,
      })}
    </div>
    <details ${more ? html`open` : null}>
      <summary>Dates, agent and campaign</summary>
      <div class="fields">
        ${textField({ name: 'from', label: 'From', type: 'date', typed })}
        ${textField({ name: 'to', label: 'To and with', type: 'date', typed })}
        ${textField({ name: 'agent_id', label: 'Agent', typed })}
        ${textField({ name: 'campaign_id', label: 'Campaign', typed })}
      </div>
    </details>
    ${hiddenFilters(values)}
    <div class="row">
      <button type="submit">Show</button>
      ${isFiltered ? html`<a href="${places.transactions.path}">Show all</a>` : null}
    </div>
  </form>`
}

/** Filters that links lead here with, and that have no field. */
function hiddenFilters(values: Typed['values']): Html[] {
  return (['chat_id', 'number'] as const).flatMap((name) => {
    const value = values[name]
    return value === undefined ? [] : [html`<input type="hidden" name="${name}" value="${value}" />`]
  })
}

function pages({ total, offset, limit, filters, mostOffset }: TransactionsView): Html | null {
  const all = Number(total)
  if (all <= limit && offset === 0) return null
  const at = (to: number): string => `${places.transactions.path}${queryText(filters.values, to)}`
  const last = Math.min(mostOffset, Math.max(0, Math.floor((all - 1) / limit) * limit))
  const link = (to: number, text: string, isThere: boolean): Html =>
    isThere ? html`<a class="button" href="${at(to)}">${text}</a>` : html`<span></span>`
  return html`<nav class="pages" aria-label="Pages">
    <span class="row"
      >${link(0, 'Newest', offset > 0)} ${link(Math.max(0, offset - limit), 'Newer', offset > 0)}</span
    >
    <span class="soft"
      >${groupDigits(Math.min(offset + 1, all))} to ${groupDigits(Math.min(offset + limit, all))}</span
    >
    <span class="row"
      >${link(offset + limit, 'Older', offset + limit < all)} ${link(last, 'Oldest', offset < last)}</span
    >
  </nav>`
}

function queryText(values: Typed['values'], offset = 0): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, value)
  if (offset > 0) query.set('offset', String(offset))
  const text = query.toString()
  return text === '' ? '' : `?${text}`
}

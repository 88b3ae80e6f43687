/**
 * The hosted checkout, which a customer reads and fills in: what it costs, which card, and whether it worked. The card's
 * number is looked at once; what is kept of it is its brand and its last four digits.
 */
import { ApiRefusal } from './api-refusal.ts'
import { testCards } from './cards.ts'
import { isPayable, payCheckout, type Shopper } from './checkout.ts'
import type { Transaction } from './entities.ts'
import {
  formatMoney,
  html,
  page,
  redirect,
  returnUrlIn,
  type Html,
  type PageAnswer,
  type PageRequest,
} from './page-html.ts'
import type { Simulation } from './simulation.ts'
import { getTransaction } from './transaction-store.ts'

/** Null for an address that is not a checkout's. */
export function answerCheckout(simulation: Simulation, request: PageRequest): PageAnswer | null {
  const { url, method } = request
  const [, transactionId] = /^\/checkout\/(txn_[a-z\d]{26})$/.exec(url.pathname) ?? []
  if (transactionId === undefined) return url.pathname.startsWith('/checkout') ? notThere() : null
  const transaction = simulation.world.transactions.get(transactionId)
  if (transaction === undefined) return notThere()
  if (method === 'POST') return pay(simulation, transaction, request)
  const returnUrl = returnUrlIn(url)
  if (transaction.status === 'paid' || transaction.status === 'completed')
    return paidPage(transaction, returnUrl)
  if (!isPayable(transaction)) return closedPage(transaction, returnUrl)
  return formPage(transaction, url)
}

function pay(simulation: Simulation, transaction: Transaction, { url, body }: PageRequest): PageAnswer {
  const here = new URL(url)
  here.searchParams.delete('declined')
  here.searchParams.delete('problem')
  const back = (name: string, value: string): PageAnswer => {
    here.searchParams.set(name, value)
    return redirect(`${here.pathname}${here.search}`)
  }
  if (!isPayable(transaction)) return redirect(`${here.pathname}${here.search}`)
  const read = readForm(new URLSearchParams(body), simulation.clock.now())
  if ('problem' in read) return back('problem', read.problem)
  try {
    const { declineCode } = payCheckout(simulation, transaction.id, read.shopper)
    return declineCode === null ? redirect(`${here.pathname}${here.search}`) : back('declined', declineCode)
  } catch (error) {
    if (error instanceof ApiRefusal) return back('problem', 'details')
    throw error
  }
}

const problems: Record<string, string> = {
  number: 'Enter a card number, or pick a test card.',
  expiry: 'Enter when the card expires as MM/YY.',
  cvc: 'Enter the 3 or 4 digits of the security code.',
  details: 'Check your email address and your country.',
}

type ReadForm = { shopper: Shopper } | { problem: 'number' | 'expiry' | 'cvc' | 'details' }

/** A number that was typed wins over the one that was picked, and needs its expiry and security code. */
function readForm(form: URLSearchParams, now: Date): ReadForm {
  const field = (name: string): string => form.get(name)?.trim() ?? ''
  const typed = field('number')
  const card = typed === '' ? field('test_card') : typed
  if (!/^[\d\s-]{12,25}$/.test(card)) return { problem: 'number' }
  const expiry = readExpiry(field('expiry'))
  if (typed !== '') {
    if (expiry === null) return { problem: 'expiry' }
    if (!/^\d{3,4}$/.test(field('cvc'))) return { problem: 'cvc' }
  }
  const email = field('email')
  if (form.has('email') && !/^\S+@\S+\.\S+$/.test(email)) return { problem: 'details' }
  return {
    shopper: {
      card,
      saveCard: form.has('save_card'),
      ...(expiry === null ? {} : { expiry }),
      ...(field('name') === '' ? {} : { cardholder: field('name') }),
      ...(email === '' ? {} : { email }),
      ...(field('country') === '' ? {} : { country: field('country').toUpperCase() }),
      ...(field('postal_code') === '' ? {} : { postalCode: field('postal_code') }),
      ...(expiry !== null && isOver(expiry, now) ? { outcome: 'expired_card' as const } : {}),
    },
  }
}

function readExpiry(text: string): { month: number; year: number } | null {
  const [, month = '', year = ''] = /^(0?[1-9]|1[0-2])\s*\/\s*(?:20)?(\d{2})$/.exec(text) ?? []
  return month === '' ? null : { month: Number(month), year: 2000 + Number(year) }
}

function isOver({ month, year }: { month: number; year: number }, now: Date): boolean {
  return Date.UTC(year, month, 1) <= now.getTime()
}

function formPage(transaction: Transaction, url: URL): PageAnswer {
  const { totals } = transaction.details
  const total = formatMoney(totals.grand_total, transaction.currency_code)
  const isFree = totals.grand_total === '0'
  const declined = url.searchParams.get('declined')
  const problem = problems[url.searchParams.get('problem') ?? '']
  const returnUrl = returnUrlIn(url)
  return page(
    'Checkout',
    html`<h1>${isFree ? 'Save your card' : `Pay ${total}`}</h1>
      ${declined === null ? null : html`<p class="bad" role="alert">The card was declined (${declined}). Try another one.</p>`}
      ${problem === undefined ? null : html`<p class="bad" role="alert">${problem}</p>`}
      ${summary(transaction)}
      <form method="post" action="${`${url.pathname}${url.search}`}" autocomplete="off">
        ${whoFields(transaction)}
        <label
          >Test card
          <select name="test_card">
            ${testCards.map(cardOption)}
          </select></label
        >
        <label
          >Or a card number
          <input name="number" inputmode="numeric" placeholder="1234 1234 1234 1234" maxlength="25"
        /></label>
        <div class="pair">
          <label>Expiry <input name="expiry" inputmode="numeric" placeholder="MM/YY" maxlength="7" /></label>
          <label
            >Security code <input name="cvc" inputmode="numeric" placeholder="123" maxlength="4"
          /></label>
        </div>
        ${saveTick(transaction)}
        <button type="submit">${isFree ? 'Save card' : `Pay ${total}`}</button>
      </form>
      ${backLink(returnUrl, 'Cancel and go back')}`,
  )
}

function summary({
  details: { totals, line_items: lines },
  currency_code: currency,
  items,
}: Transaction): Html {
  const row = (term: string, amount: string, kind = ''): Html =>
    html`<dt class="${kind}">${term}</dt>
      <dd class="${kind}">${formatMoney(amount, currency)}</dd>`
  return html`<dl>
    ${lines.map((line, index) => row(items[index]?.price.name ?? line.product.name, line.totals.subtotal))}
    ${row('Tax', totals.tax)} ${totals.credit === '0' ? null : row('Your credit', totals.credit)}
    ${row('Total', totals.grand_total, 'total')}
  </dl>`
}

/** Who pays and where: asked only when nobody said so. */
function whoFields(transaction: Transaction): Html | null {
  if (transaction.address_id !== null) return null
  return html`${
      transaction.customer_id === null
        ? html`<label>Email <input name="email" type="email" required value="customer@example.com" /></label>`
        : null
    }
    <div class="pair">
      <label>Country <input name="country" required maxlength="2" pattern="[A-Za-z]{2}" value="US" /></label>
      <label>Postal code <input name="postal_code" maxlength="12" /></label>
    </div>`
}

/** A checkout that starts a subscription keeps the card, which is what it is for; else the customer chooses. */
function saveTick({ items }: Transaction): Html {
  const keepsCard = items.some(({ price }) => price.billing_cycle !== null)
  return keepsCard
    ? html`<label class="tick"
        ><input type="checkbox" name="save_card" checked required /> Save this card for auto-recharge</label
      >`
    : html`<label class="tick"
        ><input type="checkbox" name="save_card" /> Save this card for later purchases</label
      >`
}

function cardOption({ number, meaning }: { number: string; meaning: string }): Html {
  return html`<option value="${number}">${number.replaceAll(/(\d{4})(?=\d)/g, '$1 ')} ${meaning}</option>`
}

function paidPage(transaction: Transaction, returnUrl: string | null): PageAnswer {
  const { grand_total: total } = transaction.details.totals
  const card = transaction.payments[0]?.method_details?.card
  return page(
    'Paid',
    html`<h1 class="good">
        ${total === '0' ? 'Your card is saved' : `You paid ${formatMoney(total, transaction.currency_code)}`}
      </h1>
      ${summary(transaction)}
      ${card === null || card === undefined ? null : html`<p>${card.type} ending in ${card.last4}</p>`}
      <p class="soft">${transaction.id}</p>
      ${backLink(returnUrl, 'Go back')}`,
  )
}

function closedPage(transaction: Transaction, returnUrl: string | null): PageAnswer {
  return page(
    'Closed',
    html`<h1>There is nothing to pay here any more</h1>
      <p>This transaction is ${transaction.status.replace('_', ' ')}.</p>
      ${backLink(returnUrl, 'Go back')}`,
    410,
  )
}

function notThere(): PageAnswer {
  return page(
    'Not found',
    html`<h1>This checkout does not exist</h1>
      <p>The simulator forgets its transactions when it is started anew without a state file.</p>`,
    404,
  )
}

function backLink(returnUrl: string | null, text: string): Html | null {
  return returnUrl === null ? null : html`<p><a href="${returnUrl}">${text}</a></p>`
}

/** The page of a transaction, for whoever sends a customer there. */
export function checkoutPath(simulation: Simulation, transactionId: string): string {
  return `/checkout/${getTransaction(simulation, transactionId).id}`
}

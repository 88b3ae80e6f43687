/** One top-up: the way to its checkout while it waits to be paid, and what became of it, in plain words, as soon as that is known. */
import type { Micros } from '../billing/money.ts'
import type { TopUpSource, TopUpState } from '../billing/top-up.ts'
import { html, type Html } from './html.ts'
import { page, type Frame } from './page.ts'
import { places } from './places.ts'
import { money, time } from './wording.ts'

export type TopUpLine = {
  topUpId: string
  source: TopUpSource
  state: TopUpState
  amountMicros: Micros
  /** The state and its reason in plain words. */
  message: string
  createdAt: Date
}

export type TopUpView = TopUpLine & {
  creditedMicros: Micros
  balanceMicros: Micros
  steps: readonly { state: TopUpState; message: string; at: Date }[]
  /** While it waits for the customer. */
  checkout: Checkout | null
  /** The customer comes from the checkout, paid or not: nobody is sent there again unasked. */
  isBack: boolean
}

/** The checkout's own page, and what Paddle.js needs to show it over this one. */
export type Checkout = {
  url: string
  overlay: { token: string; environment: 'production' | 'sandbox'; transactionId: string } | null
}

export function topUpPage(frame: Frame, view: TopUpView): Html {
  const { checkout, isBack } = view
  return page(
    frame,
    {
      title: titleOf(view),
      live: true,
      scripts: checkout === null ? [] : ['checkout.js'],
      paddleJs: checkout !== null && checkout.overlay !== null,
    },
    html`<section class="card stack" aria-labelledby="state-title">
        <div data-live="state" class="stack">
          <div class="head">
            <h2 id="state-title">${stateTitle(view)}</h2>
            ${topUpPill(view.state)}
          </div>
          <p role="status">${stateText(view)}</p>
          ${nextSteps(frame, view)}
        </div>
        ${checkout === null ? null : checkoutDoor(checkout, { goesByItself: !isBack })}
      </section>
      <section class="card" aria-labelledby="steps-title">
        <header><h2 id="steps-title">What happened</h2></header>
        <div data-live="steps">
          <dl class="facts">
            ${view.steps.filter(saysSomethingNew).map(
              (step) =>
                html`<dt>${time(step.at)}</dt>
                  <dd>${step.message}</dd>`,
            )}
          </dl>
        </div>
      </section>`,
  )
}

/** Two steps may be one for the customer. */
function saysSomethingNew(
  { message }: { message: string },
  index: number,
  steps: readonly { message: string }[],
): boolean {
  return index === 0 || steps[index - 1]?.message !== message
}

/** A page that leads to a checkout which belongs to no top-up: a card is saved or changed there. */
export function cardDoorPage(frame: Frame, checkout: Checkout): Html {
  return page(
    frame,
    { title: 'Continue at Paddle', scripts: ['checkout.js'], paddleJs: checkout.overlay !== null },
    html`<section class="card stack">
      <p>The card is entered at Paddle, and never here. Nothing is charged for it.</p>
      ${checkoutDoor(checkout, { goesByItself: true })}
      <p><a href="${places['auto-recharge'].path}">Back to auto-recharge</a></p>
    </section>`,
  )
}

export function topUpPill(state: TopUpState): Html {
  const { title, kind } = pills[state]
  return html`<span class="pill ${kind}">${title}</span>`
}

const pills: Record<TopUpState, { title: string; kind: '' | 'good' | 'bad' | 'warn' }> = {
  ready: { title: 'On its way', kind: '' },
  submitting: { title: 'On its way', kind: '' },
  unknown: { title: 'Being looked up', kind: 'warn' },
  processing: { title: 'On its way', kind: '' },
  awaiting_customer: { title: 'Not paid yet', kind: '' },
  needs_review: { title: 'In review', kind: 'warn' },
  succeeded: { title: 'Paid', kind: 'good' },
  declined: { title: 'Declined', kind: 'bad' },
  failed: { title: 'Failed', kind: 'bad' },
  canceled: { title: 'Taken back', kind: '' },
  abandoned: { title: 'Not paid', kind: '' },
}

function titleOf({ amountMicros }: TopUpView): string {
  return `Add ${money(amountMicros)}`
}

function stateTitle({ state, creditedMicros, isBack }: TopUpView): string {
  if (creditedMicros > 0n) return `${money(creditedMicros)} is in the wallet`
  if (state === 'awaiting_customer') return isBack ? 'Not paid, as far as we know' : 'Continue at Paddle'
  return stateTitles[state] ?? 'The payment is on its way'
}

const stateTitles: Partial<Record<TopUpState, string>> = {
  declined: 'The card was declined',
  failed: 'This did not work',
  canceled: 'Taken back',
  abandoned: 'Nobody paid',
  needs_review: 'Somebody has to look',
  unknown: 'Waiting for Paddle',
}

function stateText({ state, message, balanceMicros, creditedMicros, isBack }: TopUpView): string {
  if (creditedMicros > 0n) return `${message} The balance is ${money(balanceMicros)}.`
  if (state !== 'awaiting_customer') return message
  if (message.startsWith('Declined')) return message
  return isBack
    ? 'If you paid, this page says so as soon as Paddle has told us, within moments. If you turned back, nothing was charged.'
    : 'You pay at Paddle, and come back here. The wallet is credited as soon as it is paid.'
}

function nextSteps({ mayChange }: Frame, { state, creditedMicros }: TopUpView): Html | null {
  if (creditedMicros > 0n)
    return html`<p><a class="button" href="${places.wallet.path}">Back to the wallet</a></p>`
  const isOver = ['declined', 'failed', 'canceled', 'abandoned'].includes(state)
  return isOver && mayChange
    ? html`<p><a class="button" href="${places['add-funds'].path}">Try again</a></p>`
    : null
}

function checkoutDoor({ url, overlay }: Checkout, { goesByItself }: { goesByItself: boolean }): Html {
  return html`<p>
    <a
      class="button primary"
      href="${url}"
      data-checkout="${goesByItself ? 'now' : 'asked'}"
      ${
        overlay === null
          ? null
          : html`data-paddle-token="${overlay.token}" data-paddle-environment="${overlay.environment}"
            data-paddle-transaction="${overlay.transactionId}"`
      }
      >Continue at Paddle</a
    >
  </p>`
}

/** What is wrong with the wallet just now, as banners: what happens, and the one thing to do. */
import { leastBufferMicros } from '../billing/admission.ts'
import { explainDecline } from '../billing/decline.ts'
import type { Micros } from '../billing/money.ts'
import { csrfField } from './form.ts'
import { html, type Html } from './html.ts'
import { paths, places } from './places.ts'
import { count, money } from './wording.ts'

/** In the order in which a person would have to mend them. */
export type Trouble =
  /** A payment is disputed: no call starts and nothing is charged. */
  | { is: 'frozen' }
  /** Less is available than a call needs, so calls are answered 402. `isRecharging`: money is on its way. */
  | { is: 'refused'; availableMicros: Micros; pausedCampaigns: number; isRecharging: boolean }
  /** Auto-recharge is on and the card said no: for good, or for now. */
  | { is: 'suspended'; reason: string }
  | { is: 'cooling'; until: Date }
  /** The saved card waits for something at Paddle. */
  | { is: 'card_not_usable' }
  /** Nobody knows how a charge ended. */
  | { is: 'needs_review' }
  | { is: 'past_due'; numbers: readonly string[]; isSuspended: boolean }

export function troubleBanners(
  troubles: readonly Trouble[],
  viewer: { mayChange: boolean; csrf: string },
): Html[] {
  return troubles.map((trouble) => banner(words(trouble, viewer)))
}

type Words = { kind: 'bad' | 'warn'; title: string; text: string; action: Html | null }

function banner({ kind, title, text, action }: Words): Html {
  return html`<section class="banner ${kind}" aria-label="${title}">
    <div>
      <h2>${title}</h2>
      <p>${text}</p>
    </div>
    ${action}
  </section>`
}

// oxlint-disable-next-line typescript/consistent-return -- every trouble is a case, which the compiler checks
function words(trouble: Trouble, viewer: { mayChange: boolean; csrf: string }): Words {
  const { mayChange } = viewer
  const link = (path: string, text: string): Html | null =>
    mayChange ? html`<a class="button" href="${path}">${text}</a>` : null
  switch (trouble.is) {
    case 'frozen':
      return {
        kind: 'bad',
        title: 'This wallet is frozen',
        text:
          'A payment is disputed, so no call starts and the card is not charged. Settle the dispute with your bank, then ask ' +
          'whoever runs this to unfreeze the wallet.',
        action: null,
      }
    case 'refused':
      return {
        kind: 'bad',
        title: 'Calls are being refused',
        text: refusedText(trouble),
        action: trouble.isRecharging ? null : link(places['add-funds'].path, 'Add funds'),
      }
    case 'suspended':
      return {
        kind: 'bad',
        title: 'Auto-recharge is suspended',
        text: `The card was declined. ${explainDecline(trouble.reason)}`,
        action: link(places['auto-recharge'].path, 'Mend the card'),
      }
    case 'cooling':
      return {
        kind: 'warn',
        title: 'The card was declined',
        text: `It is tried again at ${trouble.until.toISOString().slice(11, 16)}, or at once if you ask for it.`,
        action: mayChange
          ? html`<form method="post" action="${paths.resume}">
              ${csrfField(viewer)}<button type="submit">Try it now</button>
            </form>`
          : null,
      }
    case 'card_not_usable':
      return {
        kind: 'warn',
        title: 'The saved card cannot be charged',
        text: 'It waits for something at Paddle. Change the card, and it can be charged again.',
        action: link(places['auto-recharge'].path, 'Change the card'),
      }
    case 'needs_review':
      return {
        kind: 'warn',
        title: 'A charge is being looked into',
        text: 'Nobody knows yet how an earlier charge of the card ended, so it is not charged again. Add funds by hand meanwhile.',
        action: link(places['add-funds'].path, 'Add funds'),
      }
    case 'past_due':
      return {
        kind: trouble.isSuspended ? 'bad' : 'warn',
        title: `${count(trouble.numbers.length, 'number')} could not be paid`,
        text: `${trouble.numbers.join(', ')}: ${
          trouble.isSuspended
            ? 'suspended, and given up a week after that'
            : 'suspended three days after it fell due'
        } unless the wallet has its fee.`,
        action: link(places['add-funds'].path, 'Add funds'),
      }
  }
}

function refusedText({
  availableMicros,
  pausedCampaigns,
  isRecharging,
}: Extract<Trouble, { is: 'refused' }>): string {
  const campaigns =
    pausedCampaigns === 0
      ? ''
      : ` ${count(pausedCampaigns, 'campaign')} ${pausedCampaigns === 1 ? 'is' : 'are'} paused.`
  const next = isRecharging ? ' The card is being charged: calls start again when the money is here.' : ''
  return `${money(availableMicros)} is available, and a call needs at least ${money(leastBufferMicros)}.${campaigns}${next}`
}

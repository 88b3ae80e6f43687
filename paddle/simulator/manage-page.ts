/** Where the links in Paddle's mails and in its customer portal lead: another card, or no card any more. */
import { checkoutPath } from './checkout-page.ts'
import type { Subscription } from './entities.ts'
import { html, page, redirect, type Html, type PageAnswer, type PageRequest } from './page-html.ts'
import type { Simulation } from './simulation.ts'
import { openCardChange } from './subscription-routes.ts'
import { cancelSubscription, findCard } from './subscription-store.ts'

/** Null for an address that is none of these. */
export function answerManage(simulation: Simulation, { method, url }: PageRequest): PageAnswer | null {
  const [, customerId] = /^\/portal\/(ctm_[a-z\d]{26})$/.exec(url.pathname) ?? []
  if (customerId !== undefined) return portalPage(simulation, customerId)
  const [, id = '', action = ''] = /^\/manage\/(sub_[a-z\d]{26})\/([a-z-]+)$/.exec(url.pathname) ?? []
  if (id === '') return null
  const subscription = simulation.world.subscriptions.get(id)
  if (subscription === undefined)
    return page('Not found', html`<h1>This subscription does not exist</h1>`, 404)
  if (subscription.status === 'canceled')
    return page(
      'Removed',
      html`<h1 class="good">The card is removed</h1>
        <p>Nothing will be charged to it.</p>`,
    )
  if (action === 'update-payment-method')
    return redirect(checkoutPath(simulation, openCardChange(simulation, subscription).id))
  if (action !== 'cancel') return null
  if (method !== 'POST') return cancelPage(simulation, subscription)
  cancelSubscription(simulation, id)
  return redirect(url.pathname)
}

function cancelPage(simulation: Simulation, subscription: Subscription): PageAnswer {
  return page(
    'Remove card',
    html`<h1>Remove your card?</h1>
      <p>${cardText(simulation, subscription)} will not be charged any more. Auto-recharge stops with it.</p>
      <form method="post"><button type="submit">Remove card</button></form>`,
  )
}

function portalPage(simulation: Simulation, customerId: string): PageAnswer {
  const customer = simulation.world.customers.get(customerId)
  if (customer === undefined) return page('Not found', html`<h1>This customer does not exist</h1>`, 404)
  const subscriptions = [...simulation.world.subscriptions.values()].filter(
    (each) => each.customer_id === customerId && each.status !== 'canceled',
  )
  return page(
    'Your cards',
    html`<h1>Your cards</h1>
      <p class="soft">${customer.email}</p>
      ${subscriptions.length === 0 ? html`<p>No card is saved.</p>` : null}
      ${subscriptions.map(
        (subscription) =>
          html`<p>
            ${cardText(simulation, subscription)}:
            <a href="/manage/${subscription.id}/update-payment-method">change</a> or
            <a href="/manage/${subscription.id}/cancel">remove</a>
          </p>`,
      )}`,
  )
}

function cardText(simulation: Simulation, subscription: Subscription): Html {
  const card = findCard(simulation, subscription.id)?.card
  return card === undefined ? html`Your card` : html`${card.type} ending in ${card.last4}`
}

/** Auto-recharge and its card on the wallet page. What a form asks for is done by what the API's routes do it with. */
import type { FastifyReply, FastifyRequest } from 'fastify'

import { micros, type Micros } from '../billing/money.ts'
import { suggestThreshold } from '../billing/suggested-threshold.ts'
import { leastTopUpMicros } from '../billing/top-up.ts'
import { autoRechargePage, type AutoRechargeView } from '../dashboard/auto-recharge-page.ts'
import { untyped, type Typed } from '../dashboard/form.ts'
import { paths, places } from '../dashboard/places.ts'
import { cardDoorPage } from '../dashboard/top-up-page.ts'
import { readBurnRate } from '../db/burn-rate.ts'
import { readClock } from '../db/clock.ts'
import { findPaddleCustomer } from '../db/paddle-customer.ts'
import { listCards, listPayments, type CardRecord } from '../db/payment-history.ts'
import { findRechargeOutlook, type RechargeOutlook } from '../db/recharge-outlook.ts'
import { checkoutWith, topUpLine } from './add-funds-routes.ts'
import { ownerOf, workspaceOf, type Api } from './api.ts'
import {
  changeAutoRecharge,
  letAutoRechargeGoOn,
  mostADay,
  mostMonthlyCapMicros,
  mostThresholdMicros,
  unsaid,
  type AutoRechargeWanted,
} from './auto-recharge.ts'
import { getCardInUse, removeCard } from './card.ts'
import { addressed, openCardSetup } from './checkout.ts'
import { goTo, readFrame, sendPage, type DashboardContext } from './dashboard-page.ts'
import { problemsOf, readDollars, readEmail, readWholeNumber, typedAfter } from './form-fields.ts'
import { configuredPaddle, noCheckout, refusedByPaddle } from './paddle-context.ts'
import { fieldsOf, hereOf } from './session.ts'
import { rechargeState } from './wallet-page-routes.ts'
import { getWallet, noWallet } from './wallet-routes.ts'

const route = { config: { scope: 'session' }, schema: { hide: true } } as const
const here = places['auto-recharge'].path

type Shown = { typed?: Typed; cardTyped?: Typed; chargesNow?: boolean; status?: number }

export function registerAutoRechargePage(scope: Api, context: DashboardContext): void {
  const { db, mostTopUpMicros } = context
  const show = async (
    request: FastifyRequest,
    reply: FastifyReply,
    shown: Shown = {},
  ): Promise<FastifyReply> => {
    const [frame, view] = await Promise.all([
      readFrame(context, request, 'auto-recharge'),
      readView(context, request, shown),
    ])
    return await sendPage(reply, autoRechargePage(frame, view), { status: shown.status ?? 200 })
  }

  scope.get(here, route, async (request, reply) => await show(request, reply))

  scope.post(here, route, async (request, reply) => {
    const values = fieldsOf(request)
    const outlook = await getOutlook(context, request)
    const { wanted, problems } = readSettings(values, mostTopUpMicros)
    const isOn = outlook.settings?.enabled === true
    if (!isOn && values['consent'] === undefined) {
      problems['consent'] = 'Tick this to switch auto-recharge on.'
    }
    const chargesNow = wanted !== null && wouldChargeNow(outlook, wanted)
    if (chargesNow && values['charge_now'] === undefined) {
      problems['charge_now'] = 'Tick this if the card may be charged now, or choose a lower threshold.'
    }
    if (wanted === null || Object.keys(problems).length > 0) {
      return await show(request, reply, { typed: { values, problems }, chargesNow, status: 422 })
    }
    try {
      const { charging } = await changeAutoRecharge(db, ownerOf(request), wanted)
      return await goTo(reply, `${here}?done=${charging !== null ? 'charging' : isOn ? 'saved' : 'on'}`)
    } catch (error) {
      const { typed, refused } = typedAfter(error, values, refusals)
      return await show(request, reply, { typed, chargesNow, status: refused.status })
    }
  })

  scope.post(paths.switchOff, route, async (request, reply) => {
    await changeAutoRecharge(db, ownerOf(request), { enabled: false })
    return await goTo(reply, `${here}?done=off`)
  })

  scope.post(paths.resume, route, async (request, reply) => {
    await letAutoRechargeGoOn(db, ownerOf(request))
    return await goTo(reply, `${here}?done=resumed`)
  })

  registerCardForms(scope, context, show)
}

function registerCardForms(
  scope: Api,
  context: DashboardContext,
  show: (request: FastifyRequest, reply: FastifyReply, shown: Shown) => Promise<FastifyReply>,
): void {
  const { db, log, paddle } = context
  /** The page from which the browser goes on to Paddle: a form may lead to no other host. */
  const lead = async (
    request: FastifyRequest,
    reply: FastifyReply,
    opened: { checkoutUrl: string; transactionId: string },
  ): Promise<FastifyReply> => {
    const { checkoutUrl: url, transactionId } = opened
    const checkout = checkoutWith(context, {
      url,
      transactionId,
      back: `${hereOf(request)}${here}?done=card`,
    })
    const frame = await readFrame(context, request, 'auto-recharge')
    return await sendPage(reply, cardDoorPage(frame, checkout), { paddleJs: checkout.overlay !== null })
  }
  const orShow = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: () => Promise<FastifyReply>,
  ): Promise<FastifyReply> => {
    try {
      return await work()
    } catch (error) {
      const { typed, refused } = typedAfter(error, fieldsOf(request), refusals)
      return await show(request, reply, { cardTyped: typed, status: refused.status })
    }
  }

  scope.post(paths.saveCard, route, async (request, reply) => {
    const values = fieldsOf(request)
    const email = readEmail(values['email'] ?? '')
    if ('problem' in email) {
      return await show(request, reply, {
        cardTyped: { values, problems: problemsOf({ email }) },
        status: 422,
      })
    }
    return await orShow(request, reply, async () => {
      const gateway = configuredPaddle(paddle)
      const opened = await openCardSetup({ db, gateway }, { ...ownerOf(request), email: email.value })
      if (opened.outcome !== 'created') throw noCheckout(opened, { request, log })
      const { checkoutUrl, paddleTransactionId: transactionId } = opened
      return await lead(request, reply, { checkoutUrl, transactionId })
    })
  })

  scope.post(paths.changeCard, route, async (request, reply) =>
    orShow(request, reply, async () => {
      const gateway = configuredPaddle(paddle)
      const named = { workspaceId: workspaceOf(request), savedCardId: fieldsOf(request)['card'] ?? '' }
      const { subscriptionId } = await getCardInUse(db, named)
      const opened = addressed(await gateway.getCardUpdate(subscriptionId))
      if (opened.outcome !== 'created') throw refusedByPaddle(opened, { request, log })
      return await lead(request, reply, opened)
    }),
  )

  scope.post(paths.removeCard, route, async (request, reply) =>
    orShow(request, reply, async () => {
      await removeCard(context, request, fieldsOf(request)['card'] ?? '')
      return await goTo(reply, `${here}?done=removed`)
    }),
  )
}

/** Beside which field a refusal belongs, and in whose words. */
const refusals = {
  no_card: { field: 'form', text: 'Save a card first, then switch auto-recharge on.' },
  card_not_usable: {
    field: 'form',
    text: 'This card cannot be charged as it is: change it, then switch it on.',
  },
  cap_below_topup: {
    field: 'monthly_cap_usd',
    text: 'The cap is below a single recharge, so the card would never be charged: raise it, or charge less each time.',
  },
  not_found: { field: 'form', text: 'This card is not there any more.' },
  card_not_in_use: { field: 'form', text: 'This card was removed or replaced by another one.' },
  card_in_use: {
    field: 'form',
    text: 'Auto-recharge charges this card: switch it off first, then remove the card.',
  },
  charge_under_way: {
    field: 'form',
    text: 'The card is being charged: wait until that has ended, then remove it.',
  },
  email_needed: { field: 'email', text: 'Enter an e-mail address: Paddle sends its receipts there.' },
  email_refused: { field: 'email', text: 'Paddle takes no customer with this address: enter another one.' },
} as const

const attemptsShown = 10

async function getOutlook({ db }: DashboardContext, request: FastifyRequest): Promise<RechargeOutlook> {
  const outlook = await findRechargeOutlook(db, workspaceOf(request), await readClock(db))
  if (outlook === null) throw noWallet()
  return outlook
}

async function readView(
  context: DashboardContext,
  request: FastifyRequest,
  { typed = untyped, cardTyped = untyped, chargesNow }: Shown,
): Promise<AutoRechargeView> {
  const { db, paddle } = context
  const workspaceId = workspaceOf(request)
  const [outlook, cards, customer, burn, attempts] = await Promise.all([
    getOutlook(context, request),
    listCards(db, workspaceId),
    findPaddleCustomer(db, workspaceId),
    readBurnRate(db, workspaceId, await getWallet(db, workspaceId), await readClock(db)),
    listPayments(db, { workspaceId, source: 'auto_recharge', limit: attemptsShown, offset: 0 }),
  ])
  const settings = outlook.settings ?? unsaid
  const suggestedMicros = suggestThreshold(burn.week.usedMicros)
  return {
    state: rechargeState(outlook),
    availableMicros: outlook.availableMicros,
    settings:
      outlook.settings === null && suggestedMicros !== null
        ? { ...settings, thresholdMicros: suggestedMicros }
        : settings,
    mostADay,
    suggestedMicros,
    card: cardFace(cards[0]),
    heldUp: heldUp(outlook),
    needsEmail: customer === null,
    chargesNow: chargesNow ?? (!settings.enabled && wouldChargeNow(outlook, settings)),
    typed,
    cardTyped,
    attempts: attempts.payments.map(topUpLine),
    isConfigured: paddle !== null,
  }
}

function cardFace(card: CardRecord | undefined): AutoRechargeView['card'] {
  if (card === undefined) return null
  const { savedCardId, brand, last4, expiryMonth, expiryYear, state } = card
  return { savedCardId, brand, last4, expiryMonth, expiryYear, isUsable: state === 'active' }
}

function heldUp({ settings }: RechargeOutlook): AutoRechargeView['heldUp'] {
  if (settings === null || (settings.suspendedAt === null && settings.declinesInARow === 0)) return null
  return { reason: settings.suspendedReason, isSuspended: settings.suspendedAt !== null }
}

/** Whether saving these settings charges the card at once: less is available than they ask for, and nothing stands in the way. */
function wouldChargeNow(
  { availableMicros, card, frozen, openCharge }: RechargeOutlook,
  { thresholdMicros }: Pick<AutoRechargeWanted, 'thresholdMicros'>,
): boolean {
  if (thresholdMicros === undefined || availableMicros >= thresholdMicros) return false
  return card?.state === 'active' && frozen === null && openCharge === null
}

/** Shape: null where anything cannot be read. */
function readSettings(
  values: Typed['values'],
  mostTopUpMicros: Micros,
): { wanted: AutoRechargeWanted | null; problems: Record<string, string> } {
  const cap = values['monthly_cap_usd']?.trim() ?? ''
  const least = micros(leastTopUpMicros)
  const threshold = readDollars(values['threshold_usd'] ?? '', {
    least: micros(0n),
    most: mostThresholdMicros,
  })
  const topUp = readDollars(values['topup_usd'] ?? '', { least, most: mostTopUpMicros })
  const daily = readWholeNumber(values['daily_limit'] ?? '', { least: 1, most: mostADay })
  const monthly = cap === '' ? { value: null } : readDollars(cap, { least, most: mostMonthlyCapMicros })
  const fields = { threshold_usd: threshold, topup_usd: topUp, daily_limit: daily, monthly_cap_usd: monthly }
  if ('problem' in threshold || 'problem' in topUp || 'problem' in daily || 'problem' in monthly) {
    return { wanted: null, problems: problemsOf(fields) }
  }
  const wanted = {
    enabled: true,
    thresholdMicros: threshold.value,
    topUpMicros: topUp.value,
    dailyLimit: daily.value,
    monthlyCapMicros: monthly.value,
  }
  return { wanted, problems: {} }
}

/**
 * The simulator's strings, pulled over HTTP: a test, a demo or a person at another terminal makes customers act, cards
 * decline and the network fail, and reads what really happened.
 */
import { z } from 'zod'

import type { CheckoutOutcome } from './checkout.ts'
import type { CommandInput, CommandName } from './control-commands.ts'
import type { Capture } from './entities.ts'

export type SavedCard = {
  customerId: string
  subscriptionId: string
  paymentMethodId: string
  transactionId: string
}

export type PendingWebhook = {
  notificationId: string
  eventId: string
  eventType: string
  /** `waiting` is for a retry, or for the delay that the policy asks for. */
  state: 'held' | 'queued' | 'sending' | 'waiting'
}

export type RecordedEvent = {
  eventId: string
  eventType: string
  occurredAt: string
  /** As `GET /events` gives it; a webhook has its notification's id besides. */
  rawBody: string
}

type DeliveryReport = {
  notificationId: string
  eventId: string
  eventType: string
  url: string
  attemptedAt: string
  /** Null when there was no answer; `error` then says why. */
  status: number | null
  error: string | null
}

/** What is true at Paddle, whatever it told anybody. */
export type Journal = {
  /** Money that left a card, in order. */
  captures: Capture[]
  /** By "METHOD /route/{id}". */
  requests: Record<string, number>
  rateLimited: number
  events: { eventId: string; eventType: string; occurredAt: string }[]
  adjustments: {
    adjustmentId: string
    action: string
    status: string
    transactionId: string
    net: string
    currency: string
  }[]
  deliveries: DeliveryReport[]
}

/** What each command answers. A command that is not here answers nothing. */
type CommandAnswers = {
  now: { now: string; offsetMs: number }
  saveCard: SavedCard
  payCheckout: CheckoutOutcome
  releaseWebhooks: { released: number }
  replay: { notificationIds: string[] }
  pendingWebhooks: PendingWebhook[]
  refund: { adjustmentId: string }
  chargeback: { adjustmentId: string }
  chargebackWarning: { adjustmentId: string }
  reverseChargeback: { adjustmentId: string }
  reverseChargebackWarning: { adjustmentId: string }
  changeCard: { transactionId: string; paymentMethodId: string | null }
  renewSubscription: { transactionId: string }
  createTransaction: { transactionId: string; customerId: string }
  journal: Journal
  events: RecordedEvent[]
}

export type AnswerTo<Name extends CommandName> = Name extends keyof CommandAnswers
  ? CommandAnswers[Name]
  : undefined

type Told<Name extends CommandName> = (input: CommandInput<Name>) => Promise<AnswerTo<Name>>
type Asked<Name extends CommandName> = () => Promise<AnswerTo<Name>>

/** Every method fails with what the simulator said, when it refuses. */
export type SimulatorControl = {
  setWebhookUrl: (url: string | null) => Promise<undefined>
  /** Simulated time goes on; what waited for it becomes due. */
  advance: (durationMs: number) => Promise<undefined>
  setClockOffset: (offsetMs: number) => Promise<undefined>
  now: Asked<'now'>
  /** As if just started: nothing known but the catalog. The webhooks' URL stays. */
  reset: () => Promise<undefined>

  saveCard: Told<'saveCard'>
  payCheckout: (
    transactionId: string,
    shopper?: Omit<CommandInput<'payCheckout'>, 'transactionId'>,
  ) => Promise<CheckoutOutcome>
  setCard: (paymentMethodId: string, behaviour: CommandInput<'setCard'>['behaviour']) => Promise<undefined>
  /** Queued behind the faults that are there already. */
  fault: Told<'fault'>
  clearFaults: () => Promise<undefined>

  /** Changes what is told and keeps the rest; `mode: 'deliver'` does not send what is held. */
  webhooks: Told<'webhooks'>
  releaseWebhooks: Asked<'releaseWebhooks'>
  /** The same event again, as a new notification. */
  replay: (eventId: string) => Promise<{ notificationIds: string[] }>
  /** Another name for `setWebhookUrl`. */
  deliverTo: (url: string) => Promise<undefined>
  pendingWebhooks: Asked<'pendingWebhooks'>

  refund: Told<'refund'>
  approveAdjustment: (adjustmentId: string) => Promise<undefined>
  rejectAdjustment: (adjustmentId: string) => Promise<undefined>
  chargeback: (transactionId: string, amount?: string) => Promise<{ adjustmentId: string }>
  chargebackWarning: (transactionId: string, amount?: string) => Promise<{ adjustmentId: string }>
  reverseChargeback: (adjustmentId: string) => Promise<{ adjustmentId: string }>
  reverseChargebackWarning: (adjustmentId: string) => Promise<{ adjustmentId: string }>

  /** The link "remove payment method" in Paddle's mail: a subscription of nothing ends at once. */
  removeCard: (subscriptionId: string) => Promise<undefined>
  changeCard: (subscriptionId: string, card: string) => Promise<CommandAnswers['changeCard']>
  pauseSubscription: (subscriptionId: string) => Promise<undefined>
  resumeSubscription: (subscriptionId: string) => Promise<undefined>
  renewSubscription: (subscriptionId: string) => Promise<{ transactionId: string }>
  pastDue: (subscriptionId: string) => Promise<undefined>

  tamper: (
    transactionId: string,
    changes: Omit<CommandInput<'tamper'>, 'transactionId'>,
  ) => Promise<undefined>
  createTransaction: Told<'createTransaction'>
  giveCredit: Told<'giveCredit'>

  switches: Told<'switches'>
  limits: Told<'limits'>
  journal: Asked<'journal'>
  events: Asked<'events'>
}

/** Shape: `url` is the simulator's, without a slash at its end. */
export function controlSimulator(url: string): SimulatorControl {
  const tell = async <Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
  ): Promise<AnswerTo<Name>> => {
    const response = await fetch(`${url}/_sim/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(input),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`the simulator refused ${name}: ${reasonIn(text)}`)
    // Our own server's answer: the same table of types is on both sides.
    const { answer }: { answer: AnswerTo<Name> } = JSON.parse(text)
    return answer
  }
  return {
    setWebhookUrl: (webhookUrl) => tell('setWebhookUrl', { url: webhookUrl }),
    advance: (durationMs) => tell('advance', { durationMs }),
    setClockOffset: (offsetMs) => tell('setClockOffset', { offsetMs }),
    now: () => tell('now', {}),
    reset: () => tell('reset', {}),

    saveCard: (input) => tell('saveCard', input),
    payCheckout: (transactionId, shopper = {}) => tell('payCheckout', { transactionId, ...shopper }),
    setCard: (paymentMethodId, behaviour) => tell('setCard', { paymentMethodId, behaviour }),
    fault: (input) => tell('fault', input),
    clearFaults: () => tell('clearFaults', {}),

    webhooks: (input) => tell('webhooks', input),
    releaseWebhooks: () => tell('releaseWebhooks', {}),
    replay: (eventId) => tell('replay', { eventId }),
    deliverTo: (receiver) => tell('deliverTo', { url: receiver }),
    pendingWebhooks: () => tell('pendingWebhooks', {}),

    refund: (input) => tell('refund', input),
    approveAdjustment: (adjustmentId) => tell('approveAdjustment', { adjustmentId }),
    rejectAdjustment: (adjustmentId) => tell('rejectAdjustment', { adjustmentId }),
    chargeback: (transactionId, amount) => tell('chargeback', { transactionId, amount }),
    chargebackWarning: (transactionId, amount) => tell('chargebackWarning', { transactionId, amount }),
    reverseChargeback: (adjustmentId) => tell('reverseChargeback', { adjustmentId }),
    reverseChargebackWarning: (adjustmentId) => tell('reverseChargebackWarning', { adjustmentId }),

    removeCard: (subscriptionId) => tell('removeCard', { subscriptionId }),
    changeCard: (subscriptionId, card) => tell('changeCard', { subscriptionId, card }),
    pauseSubscription: (subscriptionId) => tell('pauseSubscription', { subscriptionId }),
    resumeSubscription: (subscriptionId) => tell('resumeSubscription', { subscriptionId }),
    renewSubscription: (subscriptionId) => tell('renewSubscription', { subscriptionId }),
    pastDue: (subscriptionId) => tell('pastDue', { subscriptionId }),

    tamper: (transactionId, changes) => tell('tamper', { transactionId, ...changes }),
    createTransaction: (input) => tell('createTransaction', input),
    giveCredit: (input) => tell('giveCredit', input),

    switches: (input) => tell('switches', input),
    limits: (input) => tell('limits', input),
    journal: () => tell('journal', {}),
    events: () => tell('events', {}),
  }
}

const refusalShape = z.object({ error: z.string() })

function reasonIn(text: string): string {
  try {
    return refusalShape.parse(JSON.parse(text)).error
  } catch {
    return text
  }
}

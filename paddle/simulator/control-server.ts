/** What the simulator does when its strings are pulled: one function a command, each given what its shape has passed. */
import { z } from 'zod'

import { addAdjustment, decideAdjustment, leftOf, reverseAdjustment, takeFrom } from './adjustments.ts'
import { ApiRefusal, notFound } from './api-refusal.ts'
import { setCardBehaviour } from './cards.ts'
import { payCheckout } from './checkout.ts'
import type { AnswerTo, PendingWebhook } from './control.ts'
import {
  commands,
  type CommandName,
  type CommandOutput,
  type Limits,
  type Switches,
} from './control-commands.ts'
import { readEvents, readJournal } from './journal.ts'
import { resetSimulation, type Simulation } from './simulation.ts'
import { changeCard, createOddTransaction, pastDue, saveCard, tamper } from './staged-customer.ts'
import { defaultNotificationSettingId } from './simulator-defaults.ts'
import {
  cancelSubscription,
  pauseSubscription,
  renewSubscription,
  resumeSubscription,
} from './subscription-store.ts'
import { getTransaction } from './transaction-store.ts'
import { inbox } from './world.ts'

/** What a command does, once what came with it has the shape that it should. */
function command<Schema extends z.ZodType, Answer>(
  schema: Schema,
  run: (simulation: Simulation, input: z.output<Schema>) => Answer,
): (simulation: Simulation, body: unknown) => Answer {
  return (simulation, body) => run(simulation, schema.parse(body ?? {}))
}

const handlers = {
  setWebhookUrl: command(commands.setWebhookUrl, (simulation, { url }) => {
    setInbox(simulation, url)
  }),
  deliverTo: command(commands.deliverTo, (simulation, { url }) => {
    setInbox(simulation, url)
  }),
  advance: command(commands.advance, ({ clock }, { durationMs }) => {
    clock.advance(durationMs)
  }),
  setClockOffset: command(commands.setClockOffset, ({ clock }, { offsetMs }) => {
    clock.setOffset(offsetMs)
  }),
  now: command(commands.now, ({ clock }) => ({ now: clock.now().toISOString(), offsetMs: clock.offsetMs() })),
  reset: command(commands.reset, (simulation) => {
    resetSimulation(simulation, inboxUrl(simulation))
  }),

  saveCard: command(commands.saveCard, saveCard),
  payCheckout: command(commands.payCheckout, (simulation, { transactionId, ...shopper }) =>
    payCheckout(simulation, transactionId, shopper),
  ),
  setCard: command(commands.setCard, (simulation, { paymentMethodId, behaviour }) => {
    setCardBehaviour(simulation, paymentMethodId, behaviour)
  }),
  fault: command(commands.fault, (simulation, fault) => {
    simulation.faults.push(fault)
  }),
  clearFaults: command(commands.clearFaults, (simulation) => {
    simulation.faults = []
  }),

  webhooks: command(commands.webhooks, ({ webhooks }, policy) => {
    webhooks.setPolicy(policy)
  }),
  releaseWebhooks: command(commands.releaseWebhooks, ({ webhooks }) => ({ released: webhooks.release() })),
  replay: command(commands.replay, ({ webhooks, world }, { eventId }) => {
    const event = world.events.find((each) => each.eventId === eventId)
    if (event === undefined) throw notFound(eventId)
    return { notificationIds: webhooks.replay(event) }
  }),
  pendingWebhooks: command(commands.pendingWebhooks, ({ webhooks }) =>
    [...webhooks.notifications().values()].flatMap(pendingOf),
  ),

  refund: command(commands.refund, (simulation, { transactionId, amount, status }) =>
    adjust(simulation, { action: 'refund', transactionId, amount, status: status ?? 'pending_approval' }),
  ),
  approveAdjustment: command(commands.approveAdjustment, (simulation, { adjustmentId }) => {
    decideAdjustment(simulation, adjustmentId, 'approved')
  }),
  rejectAdjustment: command(commands.rejectAdjustment, (simulation, { adjustmentId }) => {
    decideAdjustment(simulation, adjustmentId, 'rejected')
  }),
  chargeback: command(commands.chargeback, (simulation, { transactionId, amount }) =>
    adjust(simulation, { action: 'chargeback', transactionId, amount, status: 'approved' }),
  ),
  chargebackWarning: command(commands.chargebackWarning, (simulation, { transactionId, amount }) =>
    adjust(simulation, { action: 'chargeback_warning', transactionId, amount, status: 'approved' }),
  ),
  reverseChargeback: command(commands.reverseChargeback, (simulation, { adjustmentId }) => ({
    adjustmentId: reverseAdjustment(simulation, adjustmentId, 'chargeback_reverse').id,
  })),
  reverseChargebackWarning: command(commands.reverseChargebackWarning, (simulation, { adjustmentId }) => ({
    adjustmentId: reverseAdjustment(simulation, adjustmentId, 'chargeback_warning_reverse').id,
  })),

  removeCard: command(commands.removeCard, (simulation, { subscriptionId }) => {
    cancelSubscription(simulation, subscriptionId)
  }),
  changeCard: command(commands.changeCard, changeCard),
  pauseSubscription: command(commands.pauseSubscription, (simulation, { subscriptionId }) => {
    pauseSubscription(simulation, subscriptionId)
  }),
  resumeSubscription: command(commands.resumeSubscription, (simulation, { subscriptionId }) => {
    resumeSubscription(simulation, subscriptionId)
  }),
  renewSubscription: command(commands.renewSubscription, (simulation, { subscriptionId }) => ({
    transactionId: renewSubscription(simulation, subscriptionId).id,
  })),
  pastDue: command(commands.pastDue, (simulation, { subscriptionId }) => {
    pastDue(simulation, subscriptionId)
  }),

  tamper: command(commands.tamper, (simulation, input) => {
    tamper(simulation, input)
  }),
  createTransaction: command(commands.createTransaction, createOddTransaction),
  giveCredit: command(commands.giveCredit, ({ world }, { customerId, amount, currency = 'USD' }) => {
    const key = `${customerId}/${currency}`
    world.creditBalances.set(key, String(BigInt(world.creditBalances.get(key) ?? '0') + BigInt(amount)))
  }),

  switches: command(commands.switches, (simulation, changes) => {
    simulation.switches = applySwitches(simulation.switches, changes)
  }),
  limits: command(commands.limits, (simulation, changes) => {
    simulation.limits = applyLimits(simulation.limits, changes)
  }),
  journal: command(commands.journal, readJournal),
  events: command(commands.events, readEvents),
} satisfies { [Name in CommandName]: (simulation: Simulation, body: unknown) => AnswerTo<Name> | void }

/** Shape: the HTTP status and the body, which is `{answer}` or `{error}`. */
export function obeyCommand(
  simulation: Simulation,
  name: string,
  body: unknown,
): { status: number; body: object } {
  if (!isCommand(name)) return { status: 404, body: { error: `there is no command ${name}` } }
  try {
    return { status: 200, body: { answer: handlers[name](simulation, body) } }
  } catch (error) {
    if (error instanceof z.ZodError) return { status: 400, body: { error: z.prettifyError(error) } }
    if (error instanceof ApiRefusal) return { status: 400, body: { error: error.message } }
    simulation.log(`the command ${name} failed: ${error instanceof Error ? error.stack : String(error)}`)
    return { status: 500, body: { error: error instanceof Error ? error.message : String(error) } }
  } finally {
    simulation.changed()
  }
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commands, name)
}

function setInbox(simulation: Simulation, url: string | null): void {
  simulation.world.notificationSettings.set(
    defaultNotificationSettingId,
    inbox({ webhookUrl: url, webhookSecret: simulation.webhookSecret }),
  )
}

function inboxUrl({ world }: Simulation): string | null {
  const setting = world.notificationSettings.get(defaultNotificationSettingId)
  return setting?.active === true ? setting.destination : null
}

function adjust(
  simulation: Simulation,
  {
    action,
    transactionId,
    amount,
    status,
  }: {
    action: 'refund' | 'chargeback' | 'chargeback_warning'
    transactionId: string
    amount: string | undefined
    status: 'pending_approval' | 'approved'
  },
): { adjustmentId: string } {
  const transaction = getTransaction(simulation, transactionId)
  const items = takeFrom(leftOf(simulation, transaction), amount === undefined ? null : BigInt(amount))
  const { id } = addAdjustment(simulation, { transaction, action, status, items, reason: 'simulated' })
  return { adjustmentId: id }
}

function pendingOf({
  id,
  event,
  state,
}: {
  id: string
  event: { eventId: string; eventType: string }
  state: string
}): PendingWebhook[] {
  return state === 'held' || state === 'queued' || state === 'sending' || state === 'waiting'
    ? [{ notificationId: id, eventId: event.eventId, eventType: event.eventType, state }]
    : []
}

function applySwitches(known: Switches, changes: CommandOutput<'switches'>): Switches {
  return {
    declinedTransaction: changes.declinedTransaction ?? known.declinedTransaction,
    parallelCharges: changes.parallelCharges ?? known.parallelCharges,
    customDataPropagation: changes.customDataPropagation ?? known.customDataPropagation,
    captureAfterMs: changes.captureAfterMs ?? known.captureAfterMs,
    completeAfterMs: changes.completeAfterMs ?? known.completeAfterMs,
    refundApprovalMs:
      changes.refundApprovalMs === undefined ? known.refundApprovalMs : changes.refundApprovalMs,
  }
}

function applyLimits(known: Limits, changes: CommandOutput<'limits'>): Limits {
  const pick = (name: keyof Limits): number | null => {
    const limit = changes[name]
    return limit === undefined ? known[name] : limit
  }
  return {
    requestsPerMinute: pick('requestsPerMinute'),
    chargesPerHour: pick('chargesPerHour'),
    chargesPerDay: pick('chargesPerDay'),
  }
}

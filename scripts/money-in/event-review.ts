/** Paddle's news that nobody could apply, in our words: what each says, why it was not applied. Never what Paddle sent, verbatim. */
import {
  centsToMicros,
  claimedWorkspace,
  creditReviewReasons,
  explainCreditReview,
} from '../../billing/credit.ts'
import { displayUsdExact } from '../../billing/money.ts'
import type { MinorUnits, PaddleEvent } from '../../billing/paddle-facts.ts'
import {
  countUnappliedEvents,
  listEventsToReview,
  listRefusedWebhooks,
  type EventToReview,
} from '../../db/paddle-event-review.ts'
import type { Db } from '../../db/schema.ts'
import { readPaddleEvent } from '../../paddle/webhook.ts'
import { print } from './operator-books.ts'
import { fold, second } from './text.ts'

export async function printEventsToReview(db: Db, limit: number): Promise<void> {
  const events = await listEventsToReview(db, limit)
  for (const event of events) {
    const { eventId, eventType, occurredAt, workspaceId } = event
    print(`${second(occurredAt)}  ${eventId}  ${eventType}${workspaceId === null ? '' : `  ${workspaceId}`}`)
    print(fold(explain(event), '    '))
    print(fold(`It says: ${describe(event)}`, '    '))
  }
  print(events.length === 0 ? 'No event of Paddle needs a review.' : '')
  const { received, waiting } = await countUnappliedEvents(db)
  print(
    `Not applied yet: ${received} just received, ${waiting} waiting for a transaction of Paddle's to be credited.`,
  )
  const refused = await listRefusedWebhooks(db)
  print(`Webhooks turned away: ${refused.length === 0 ? 'none.' : ''}`)
  for (const { reason, refused: count, lastAt } of refused) {
    print(`  ${String(count).padStart(7)} x ${reason.padEnd(20)} the last ${second(lastAt)}`)
  }
}

function explain({ outcome, detail }: EventToReview): string {
  const code = outcome ?? '-'
  const reason = creditReviewReasons.find((each) => each === code)
  const sentence = reason === undefined ? others[code] : explainCreditReview(reason)
  return `${sentence ?? 'It could not be applied.'} (${code}${detail === null ? '' : `: ${detail}`})`
}

const others: Partial<Record<string, string>> = {
  unreadable: 'What Paddle sent is not what we understand.',
  unknown_action: 'The adjustment is of a kind that we do not know.',
  more_than_was_credited: 'The adjustment takes back more than the wallet was credited with.',
  contradicted: 'It was booked before with another amount.',
}

/** What it says, in our words. */
function describe({ body }: EventToReview): string {
  const read = readPaddleEvent(body)
  return read.outcome === 'read' ? describeFact(read.event.fact) : `nothing readable (${read.detail})`
}

function describeFact(fact: PaddleEvent['fact']): string {
  if (fact === null) return 'nothing that moves a wallet.'
  if (fact.kind === 'transaction') {
    const { transaction } = fact
    const { transactionId, status, customerId, lines } = transaction
    const amounts = lines.map((line) => money(line.net)).join(' + ')
    const claimed = claimedWorkspace(transaction)
    return (
      `${transactionId} is ${status}: ${amounts === '' ? 'nothing' : amounts} from ${customerId ?? 'an unnamed customer'}, ` +
      `for ${claimed ?? 'no workspace that it names'}.`
    )
  }
  if (fact.kind === 'subscription') {
    const { subscriptionId, status, customerId, workspaceId } = fact.subscription
    return `${subscriptionId} of ${customerId} is ${status}, for ${workspaceId ?? 'no workspace that it names'}.`
  }
  const { adjustmentId, action, status, transactionId, net } = fact.adjustment
  return `${adjustmentId}, a ${action} of ${money(net)} on ${transactionId}, is ${status}.`
}

/** Other currencies as Paddle writes them, in their minor units. */
function money({ amount, currency }: MinorUnits): string {
  return currency === 'USD' ? displayUsdExact(centsToMicros(amount)) : `${amount} ${currency} (minor units)`
}

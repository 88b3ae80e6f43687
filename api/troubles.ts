/** What is wrong with a workspace's wallet just now, for the banners of its page. */
import { leastBufferMicros } from '../billing/admission.ts'
import type { WorkspaceId } from '../billing/ids.ts'
import type { Trouble } from '../dashboard/trouble.ts'
import { countPausedByFunds } from '../db/campaign.ts'
import { readClock } from '../db/clock.ts'
import { listPhoneNumbers, type PhoneNumber } from '../db/phone-number.ts'
import { findRechargeOutlook, type RechargeOutlook } from '../db/recharge-outlook.ts'
import type { Db } from '../db/schema.ts'

/** In the order in which a person would have to mend them. */
export async function readTroubles(db: Db, workspaceId: WorkspaceId): Promise<Trouble[]> {
  const now = await readClock(db)
  const [outlook, pausedCampaigns, owing] = await Promise.all([
    findRechargeOutlook(db, workspaceId, now),
    countPausedByFunds(db, workspaceId),
    listPhoneNumbers(db, { workspaceId, states: ['past_due', 'suspended'], limit: 5 }),
  ])
  if (outlook === null) return []
  return [
    ...(outlook.frozen === null ? [] : [{ is: 'frozen' } as const]),
    ...refusals(outlook, pausedCampaigns),
    ...(outlook.settings?.enabled === true ? cardTroubles(outlook, now) : []),
    ...(owing.numbers.length === 0 ? [] : [pastDue(owing.numbers)]),
  ]
}

function pastDue(numbers: readonly PhoneNumber[]): Trouble {
  return {
    is: 'past_due',
    numbers: numbers.map(({ phoneNumber }) => phoneNumber),
    isSuspended: numbers.some(({ state }) => state === 'suspended'),
  }
}

function refusals(outlook: RechargeOutlook, pausedCampaigns: number): Trouble[] {
  const { availableMicros, frozen, openCharge } = outlook
  if (frozen !== null || availableMicros >= leastBufferMicros) return []
  const isRecharging = openCharge !== null && openCharge.state !== 'needs_review'
  return [{ is: 'refused', availableMicros, pausedCampaigns, isRecharging }]
}

function cardTroubles({ settings, card, openCharge }: RechargeOutlook, now: Date): Trouble[] {
  if (openCharge?.state === 'needs_review') return [{ is: 'needs_review' }]
  if (card !== null && card.state !== 'active') return [{ is: 'card_not_usable' }]
  const reason = settings?.suspendedReason ?? null
  if (reason !== null) return [{ is: 'suspended', reason }]
  const until = settings?.coolingUntil ?? null
  return until !== null && until > now ? [{ is: 'cooling', until }] : []
}

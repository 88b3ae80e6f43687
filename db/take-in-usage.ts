/**
 * Usage told over HTTP: in Postgres before the answer, each event accepted, known already, or in contradiction to what was told
 * before. The job that rings for it is staged with it, so Redis may be away.
 */
import { jobOf } from '../jobs/contract.ts'
import type { UsageArrival } from '../jobs/usage-arrival.ts'
import { usageReceived } from '../jobs/usage-jobs.ts'
import { requeueSetAside } from './set-aside.ts'
import type { Tx } from './schema.ts'
import { stageJob } from './staged-job.ts'
import { findUsage, moveAside, receiveUsage, usageName, type KnownUsage } from './usage-event.ts'

/** `contradicts`: the same id was told with other content, and that stands. */
export type TakenIn = 'accepted' | 'duplicate' | 'contradicts'

/**
 * Shape: for each event, in their order. A telling of what was set aside before lets it try again, and a correction takes its
 *        place. Takes no lock of a wallet.
 */
export async function takeInUsage(
  trx: Tx,
  workspaceId: string,
  arrivals: readonly UsageArrival[],
): Promise<TakenIn[]> {
  if (arrivals.length === 0) return []
  const told = new Map<string, UsageArrival>()
  for (const arrival of arrivals) {
    if (!told.has(usageName(arrival))) told.set(usageName(arrival), arrival)
  }
  const before = await findUsage(trx, [...told.values()])
  const fresh: UsageArrival[] = []
  for (const [name, arrival] of told) {
    const known = before.get(name)
    if (known === undefined) fresh.push(arrival)
    else if (known.state !== 'set_aside') continue
    else if (known.payloadHash === arrival.payloadHash) {
      await requeueSetAside(trx, { workspaceId: arrival.workspaceId, key: arrival.key })
    } else {
      await moveAside(trx, arrival)
      fresh.push(arrival)
    }
  }
  const { received, standing } = await receive(trx, workspaceId, fresh)
  const accepted = new Set(fresh.filter((arrival) => received.has(usageName(arrival))))
  return arrivals.map((arrival) => {
    const stands = standing.get(usageName(arrival)) ?? before.get(usageName(arrival))
    if (stands !== undefined && stands.payloadHash !== arrival.payloadHash) return 'contradicts'
    // Of two tellings in one request, the first is the one that was accepted.
    return accepted.delete(arrival) ? 'accepted' : 'duplicate'
  })
}

/** Somebody else may have been quicker: what stands is looked up afterwards. */
async function receive(
  trx: Tx,
  workspaceId: string,
  fresh: readonly UsageArrival[],
): Promise<{ received: Set<string>; standing: Map<string, KnownUsage> }> {
  if (fresh.length === 0) return { received: new Set(), standing: new Map() }
  const received = await receiveUsage(trx, fresh)
  if (received.size > 0) await stageJob(trx, workspaceId, jobOf(usageReceived, {}))
  return { received, standing: await findUsage(trx, fresh) }
}

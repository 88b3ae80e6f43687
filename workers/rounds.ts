/** What each schedule does when it rings. Every round looks in Postgres for what is due, and is harmless when nothing is. */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import type { RoundOutcome } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import type { ScheduleName } from '../jobs/schedules.ts'
import type { Log } from '../runtime/log.ts'
import { expireHolds } from './hold-expiry.ts'
import { sweepRecharges } from './money-in-sweep.ts'
import { reconcileNightly } from './reconcile-nightly.ts'
import type { Reconciling } from './reconcile.ts'
import { relayEverything } from './relay.ts'
import { sweepRentals } from './rental-sweep.ts'
import { verifyNightly } from './verify-nightly.ts'

/** Told when its process is to end: then it throws, and is due again elsewhere. */
export type Round = (signal: AbortSignal) => Promise<RoundOutcome>

/** Of a process: what it cannot do is not there, and left to those that can. */
export type Rounds = ReadonlyMap<ScheduleName, Round>

export function createRounds({
  db,
  databaseUrl,
  log,
  redis,
  queueNamed,
  paddle,
}: {
  db: Db
  databaseUrl: string
  log: Log
  redis: Redis
  queueNamed: (name: string) => Queue
  /** Null without a Paddle key. */
  paddle: Pick<Reconciling, 'gateway' | 'productId'> | null
}): Rounds {
  const rounds = new Map<ScheduleName, Round>([
    ['hold-expiry', () => expireHolds(db, log)],
    ['outbox', () => relayEverything({ db, redis, queueNamed })],
    ['recharge-sweep', (signal) => sweepRecharges(db, log, signal)],
    ['rental-sweep', () => sweepAllRentals(db, log)],
    ['verify', (signal) => verifyNightly(databaseUrl, { log, signal })],
  ])
  if (paddle !== null) rounds.set('reconcile', () => reconcileNightly({ db, log, ...paddle }))
  return rounds
}

async function sweepAllRentals(db: Db, log: Log): Promise<RoundOutcome> {
  const { failed, ...did } = await sweepRentals(db, log)
  return { did, found: failed === 0 ? [] : [`${failed} wallets could not be settled: see the workers' log`] }
}

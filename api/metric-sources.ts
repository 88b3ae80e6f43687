/**
 * What is read for the metrics and what each number is called. Closed sets are there in full, with zeros, so that an alert on
 * one of them works before it happens for the first time.
 */
import { Counter, Gauge, type Registry } from 'prom-client'

import { rechargeReasons } from '../billing/recharge.ts'
import { topUpSources, topUpStates } from '../billing/top-up.ts'
import { setAsideReasons } from '../billing/usage-event.ts'
import { heartbeatAgeMs } from '../db/heartbeat.ts'
import {
  countAutoRecharges,
  countPaddleEvents,
  countRefusedWebhooks,
  countSetAside,
  countTopUps,
  readHolds,
  readLedger,
  readStagedJobs,
  readUnposted,
  readWallets,
} from '../db/metrics.ts'
import { readSchedules } from '../db/schedule.ts'
import type { Db } from '../db/schema.ts'
import { schedules } from '../jobs/schedules.ts'

/** Numbers that are read together, and how long they are believed. */
type Source = { name: string; believedMs: number; read: () => Promise<void> }

/** A queue, as far as it is counted. */
export type CountedQueue = {
  name: string
  getJobCounts: (...states: QueueState[]) => Promise<Record<string, number>>
}

const queueStates = ['waiting', 'active', 'delayed', 'prioritized', 'failed', 'completed'] as const
type QueueState = (typeof queueStates)[number]

type Registers = Registry[]

const fewSeconds = 5_000
const halfAMinute = 30_000
const fewMinutes = 300_000

export function metricSources(
  { db, readQueues }: { db: Db; readQueues: () => readonly CountedQueue[] },
  registers: Registers,
): Source[] {
  return [
    usageSource(db, registers),
    setAsideSource(db, registers),
    stagedJobSource(db, registers),
    holdSource(db, registers),
    topUpSource(db, registers),
    rechargeSource(db, registers),
    paddleSource(db, registers),
    walletSource(db, registers),
    ledgerSource(db, registers),
    heartbeatSource(db, registers),
    scheduleSource(db, registers),
    queueSource(readQueues, registers),
  ]
}

function usageSource(db: Db, registers: Registers): Source {
  const events = gauge(registers, 'wallet_usage_unposted_events', 'Events received and not posted, to 10,000')
  const oldest = gauge(registers, 'wallet_usage_unposted_oldest_seconds', 'How old the oldest of them is')
  return source('usage', fewSeconds, async () => {
    const { count, oldestSeconds } = await readUnposted(db)
    events.set(count)
    oldest.set(oldestSeconds)
  })
}

function setAsideSource(db: Db, registers: Registers): Source {
  const events = labelled(registers, 'wallet_usage_set_aside_events', 'Events set aside, the newest 10,000', [
    'reason',
  ])
  return source('set_aside', halfAMinute, async () => {
    const rows = await countSetAside(db)
    events.reset()
    for (const reason of setAsideReasons) events.set({ reason }, 0)
    for (const { reason, count } of rows) events.set({ reason }, count)
  })
}

function stagedJobSource(db: Db, registers: Registers): Source {
  const jobs = gauge(registers, 'wallet_staged_jobs', 'Jobs that no relay has moved to Redis, to 10,000')
  const oldest = gauge(registers, 'wallet_staged_job_oldest_seconds', 'How old the oldest of them is')
  return source('staged_jobs', fewSeconds, async () => {
    const { count, oldestSeconds } = await readStagedJobs(db)
    jobs.set(count)
    oldest.set(oldestSeconds)
  })
}

function holdSource(db: Db, registers: Registers): Source {
  const open = gauge(registers, 'wallet_holds_open', 'Calls that money is held for, to 10,000')
  const silent = gauge(registers, 'wallet_holds_silent', 'Of those, not heard of for two minutes')
  const silence = gauge(
    registers,
    'wallet_hold_silence_oldest_seconds',
    'Since when the most silent of them was not heard of',
  )
  const unbilled = gauge(
    registers,
    'wallet_calls_unbilled',
    'Calls admitted, fallen silent and never told of, to 10,000',
  )
  return source('holds', fewSeconds, async () => {
    const holds = await readHolds(db)
    open.set(holds.open)
    silent.set(holds.silent)
    silence.set(holds.oldestSilenceSeconds)
    unbilled.set(holds.unbilled)
  })
}

function topUpSource(db: Db, registers: Registers): Source {
  const names = ['source', 'state'] as const
  const topUps = labelled(
    registers,
    'wallet_top_ups',
    'Top-ups under way, and those that ended within a day',
    [...names],
  )
  const oldest = labelled(registers, 'wallet_top_up_oldest_seconds', 'How old the oldest of them is', [
    ...names,
  ])
  return source('top_ups', fewSeconds, async () => {
    const rows = await countTopUps(db)
    topUps.reset()
    oldest.reset()
    for (const each of topUpSources.flatMap((source) => topUpStates.map((state) => ({ source, state })))) {
      topUps.set(each, 0)
      oldest.set(each, 0)
    }
    for (const { source, state, count, oldestSeconds } of rows) {
      topUps.set({ source, state }, count)
      oldest.set({ source, state }, oldestSeconds)
    }
  })
}

function rechargeSource(db: Db, registers: Registers): Source {
  const recharges = labelled(
    registers,
    'wallet_auto_recharges',
    'Workspaces with auto-recharge on, by the last decision',
    ['decision', 'suspended'],
  )
  return source('auto_recharges', halfAMinute, async () => {
    const rows = await countAutoRecharges(db)
    recharges.reset()
    for (const decision of [...rechargeReasons, 'recharge', 'none']) {
      recharges.set({ decision, suspended: 'false' }, 0)
      recharges.set({ decision, suspended: 'true' }, 0)
    }
    for (const { decision, suspended, count } of rows) {
      recharges.set({ decision, suspended: String(suspended) }, count)
    }
  })
}

function paddleSource(db: Db, registers: Registers): Source {
  const events = labelled(registers, 'wallet_paddle_events', "Paddle's news that is not dealt with", [
    'state',
  ])
  const oldest = labelled(registers, 'wallet_paddle_event_oldest_seconds', 'How old the oldest of it is', [
    'state',
  ])
  const refused = new Counter({
    name: 'wallet_webhooks_refused_total',
    help: 'Webhooks that were refused, by why',
    labelNames: ['reason'],
    registers,
  })
  return source('paddle_events', fewSeconds, async () => {
    const [waiting, refusals] = await Promise.all([countPaddleEvents(db), countRefusedWebhooks(db)])
    events.reset()
    oldest.reset()
    for (const state of ['received', 'waiting', 'needs_review']) {
      events.set({ state }, 0)
      oldest.set({ state }, 0)
    }
    for (const { state, count, oldestSeconds } of waiting) {
      events.set({ state }, count)
      oldest.set({ state }, oldestSeconds)
    }
    // Counted in Postgres by all processes together: what is there is the count, not what came since.
    refused.reset()
    for (const { reason, count } of refusals) refused.inc({ reason }, Number(count))
  })
}

function walletSource(db: Db, registers: Registers): Source {
  const wallets = gauge(registers, 'wallet_wallets', 'Wallets')
  const belowZero = gauge(registers, 'wallet_wallets_below_zero', 'Wallets that owe us')
  const frozen = gauge(registers, 'wallet_wallets_frozen', 'Wallets that are frozen')
  const balance = gauge(registers, 'wallet_balance_micros', 'What all wallets have, in micro-dollars')
  const held = gauge(registers, 'wallet_held_micros', 'What of it is held for calls, in micro-dollars')
  const heldImbalance = gauge(
    registers,
    'wallet_held_imbalance_micros',
    'What wallets say is held, less what open holds say: zero, or something is broken',
  )
  const transactions = new Counter({
    name: 'wallet_ledger_transactions_total',
    help: 'Ledger transactions ever booked',
    registers,
  })
  return source('wallets', halfAMinute, async () => {
    const read = await readWallets(db)
    wallets.set(read.wallets)
    belowZero.set(read.belowZero)
    frozen.set(read.frozen)
    balance.set(Number(read.balanceMicros))
    held.set(Number(read.heldMicros))
    heldImbalance.set(Number(read.heldImbalanceMicros))
    transactions.reset()
    transactions.inc(Number(read.transactions))
  })
}

function ledgerSource(db: Db, registers: Registers): Source {
  const imbalance = gauge(
    registers,
    'wallet_ledger_imbalance_micros',
    'What wallets say they have, less what all postings come to: zero, or something is broken',
  )
  const postings = gauge(registers, 'wallet_ledger_postings', 'Postings ever booked')
  const checkedAt = gauge(
    registers,
    'wallet_ledger_checked_timestamp_seconds',
    'When the ledger was last summed up',
  )
  return source('ledger', fewMinutes, async () => {
    const read = await readLedger(db)
    imbalance.set(Number(read.imbalanceMicros))
    postings.set(Number(read.postings))
    checkedAt.setToCurrentTime()
  })
}

function heartbeatSource(db: Db, registers: Registers): Source {
  const age = gauge(
    registers,
    'wallet_heartbeat_age_seconds',
    'Since a job last went through Redis and a worker into Postgres',
  )
  return source('heartbeat', fewSeconds, async () => {
    const ageMs = await heartbeatAgeMs(db)
    age.set(ageMs === null ? Infinity : ageMs / 1000)
  })
}

function scheduleSource(db: Db, registers: Registers): Source {
  const overdue = labelled(
    registers,
    'wallet_schedule_overdue_seconds',
    'Since a schedule was due, unless somebody is at it',
    ['schedule'],
  )
  const done = labelled(
    registers,
    'wallet_schedule_done_age_seconds',
    'Since a round of it was last done, if one ever was',
    ['schedule'],
  )
  const found = labelled(
    registers,
    'wallet_schedule_found',
    'What the round that was last done found for a person to look at: for verify, where the ledger is broken',
    ['schedule'],
  )
  const failures = new Counter({
    name: 'wallet_schedule_failures_total',
    help: 'Rounds that failed',
    labelNames: ['schedule'],
    registers,
  })
  return source('schedules', fewSeconds, async () => {
    const states = await readSchedules(db)
    for (const each of [overdue, done, found, failures]) each.reset()
    for (const { name: schedule } of schedules) {
      const state = states.find(({ name }) => name === schedule)
      const overdueMs = state === undefined || state.isUnderWay ? 0 : Math.max(0, state.overdueMs)
      overdue.set({ schedule }, overdueMs / 1000)
      found.set({ schedule }, state?.found ?? 0)
      failures.inc({ schedule }, Number(state?.failures ?? 0n))
      if (state !== undefined && state.doneMsAgo !== null) done.set({ schedule }, state.doneMsAgo / 1000)
    }
  })
}

function queueSource(readQueues: () => readonly CountedQueue[], registers: Registers): Source {
  const jobs = labelled(registers, 'wallet_queue_jobs', 'Jobs in Redis', ['queue', 'state'])
  return source('queues', fewSeconds, async () => {
    const counts = await Promise.all(
      readQueues().map(async (queue) => ({
        queue: queue.name,
        counts: await queue.getJobCounts(...queueStates),
      })),
    )
    jobs.reset()
    for (const each of counts) {
      for (const state of queueStates) jobs.set({ queue: each.queue, state }, each.counts[state] ?? 0)
    }
  })
}

function source(name: string, believedMs: number, read: () => Promise<void>): Source {
  return { name, believedMs, read }
}

function gauge(registers: Registers, name: string, help: string): Gauge {
  return new Gauge({ name, help, registers })
}

function labelled<Label extends string>(
  registers: Registers,
  name: string,
  help: string,
  labelNames: Label[],
): Gauge<Label> {
  return new Gauge({ name, help, labelNames, registers })
}

// What /metrics says is what the rows, the queues and the requests say, and what the dashboard and the alerts ask for is there.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { sql } from 'kysely'
import { describe, expect } from 'vitest'

import { connect } from '../../db/connect.ts'
import { beat } from '../../db/heartbeat.ts'
import {
  countPaddleEvents,
  countSetAside,
  countTopUps,
  readHolds,
  readStagedJobs,
  readUnposted,
} from '../../db/metrics.ts'
import { claimRound, endRound, registerSchedule } from '../../db/schedule.ts'
import type { Db } from '../../db/schema.ts'
import { receiveUsage } from '../../db/usage-event.ts'
import { createWorkerMetrics } from '../../runtime/metrics.ts'
import { test } from '../support/api-server.ts'
import { aCall, callArrival, givenWorkspace, newWorkspaceId } from '../support/given.ts'
import { givenRecharge, givenTopUp } from '../support/given-money-in.ts'
import { until } from '../support/until.ts'
import { givenOps } from './given-ops.ts'

const operations = join(import.meta.dirname, '../../docs/operations')

describe('/metrics', () => {
  test('counts what waits, and says how old it is', async ({ ownPlace, ownDb, redis }) => {
    const workspaceId = await givenWorkspace(ownDb)
    const receivedAt = new Date(Date.now() - 90_000)
    await receiveUsage(ownDb, [
      { ...callArrival(aCall(workspaceId)), receivedAt },
      callArrival(aCall(workspaceId)),
    ])
    await sql`
      insert into staged_job (workspace_id, queue, name, job_id, data, options, staged_at)
      values (${workspaceId}, 'usage', 'usage-received', 'x', '{}', '{}', clock_timestamp() - interval '3 minutes')`.execute(
      ownDb,
    )
    await beat(ownDb)
    const { server } = await givenOps(ownPlace, redis)

    const metrics = await scrape(server)

    expect(metrics.get('wallet_usage_unposted_events')).toBe(2)
    expect(metrics.get('wallet_usage_unposted_oldest_seconds')).toBeGreaterThanOrEqual(90)
    expect(metrics.get('wallet_staged_jobs')).toBe(1)
    expect(metrics.get('wallet_staged_job_oldest_seconds')).toBeGreaterThanOrEqual(180)
    expect(metrics.get('wallet_heartbeat_age_seconds')).toBeLessThan(30)
    expect(metrics.get('wallet_wallets')).toBe(1)
    expect(metrics.get('wallet_balance_micros')).toBe(10_000_000)
    expect(metrics.get('wallet_ledger_imbalance_micros')).toBe(0)
    expect(metrics.get('wallet_held_imbalance_micros')).toBe(0)
    expect(metrics.get('wallet_ledger_transactions_total')).toBe(1)
    expect(metrics.get('wallet_ledger_postings')).toBe(1)
  })

  test('says which schedule is overdue, which failed, and what the last verification found', async ({
    ownPlace,
    ownDb,
    redis,
  }) => {
    const pace = { everyMs: 60_000, dailyAt: null }
    for (const [name, end] of [
      ['verify', { did: {}, found: ['ws_1', 'ws_2'] }],
      ['outbox', { error: 'Redis is away' }],
    ] as const) {
      await registerSchedule(ownDb, name, pace)
      const round = await claimRound(ownDb, name, { rungBy: 'scheduler', claimMs: 30_000 })
      if (round !== null)
        await endRound(ownDb, round, pace, 'did' in end ? { ...end, found: [...end.found] } : end)
    }
    await sql`update schedule set due_at = due_at - interval '5 minutes' where name = 'outbox'`.execute(ownDb)
    const { server } = await givenOps(ownPlace, redis)

    const metrics = await scrape(server)

    expect(metrics.get('wallet_schedule_found{schedule="verify"}')).toBe(2)
    expect(metrics.get('wallet_schedule_overdue_seconds{schedule="verify"}')).toBe(0)
    expect(metrics.get('wallet_schedule_done_age_seconds{schedule="verify"}')).toBeLessThan(300)
    expect(metrics.get('wallet_schedule_failures_total{schedule="outbox"}')).toBe(1)
    expect(metrics.get('wallet_schedule_overdue_seconds{schedule="outbox"}')).toBeGreaterThanOrEqual(300)
    expect(metrics.has('wallet_schedule_done_age_seconds{schedule="outbox"}')).toBe(false)
    expect(metrics.get('wallet_schedule_overdue_seconds{schedule="rental-sweep"}')).toBe(0)
  })

  test('counts recharges by state and by the last decision, and what a person has to look at', async ({
    ownPlace,
    ownDb,
    redis,
  }) => {
    const { payer } = await givenRecharge(ownDb)
    await givenTopUp(ownDb, payer, { source: 'api', state: 'needs_review', createdAt: hoursAgo(2) })
    await givenTopUp(ownDb, payer, { source: 'checkout', state: 'succeeded', createdAt: hoursAgo(1) })
    const { server } = await givenOps(ownPlace, redis)

    const metrics = await scrape(server)

    expect(metrics.get('wallet_top_ups{source="auto_recharge",state="ready"}')).toBe(1)
    expect(metrics.get('wallet_top_ups{source="auto_recharge",state="unknown"}')).toBe(0)
    expect(metrics.get('wallet_top_ups{source="api",state="needs_review"}')).toBe(1)
    expect(
      metrics.get('wallet_top_up_oldest_seconds{source="api",state="needs_review"}'),
    ).toBeGreaterThanOrEqual(7_200)
    expect(metrics.get('wallet_auto_recharges{decision="recharge",suspended="false"}')).toBe(1)
    expect(metrics.get('wallet_auto_recharges{decision="no_card",suspended="false"}')).toBe(0)
  })

  test("counts Paddle's news that waits, refused webhooks, holds, unbilled calls and what is set aside", async ({
    ownPlace,
    ownDb,
    redis,
  }) => {
    const workspaceId = await givenWorkspace(ownDb)
    await sql`
      insert into paddle_event (event_id, event_type, occurred_at, body, state, decided_at, received_at) values
        ('evt_1', 'x', now(), '{}', 'received', null, clock_timestamp() - interval '1 hour'),
        ('evt_2', 'x', now(), '{}', 'needs_review', now(), clock_timestamp())`.execute(ownDb)
    await sql`insert into refused_webhook (reason, refused, last_at) values ('stale', 7, now())`.execute(
      ownDb,
    )
    await sql`
      insert into hold (workspace_id, call_id, state, amount_micros, direction, recorded, started_at, heard_at, expires_at, ended_at)
      values
        (${workspaceId}, 'call_1', 'open', 200000, 'web', false, now(), clock_timestamp() - interval '5 minutes', now(), null),
        (${workspaceId}, 'call_2', 'open', 200000, 'web', false, now(), clock_timestamp(), now(), null),
        (${workspaceId}, 'call_3', 'expired', 200000, 'web', false, now(), now(), now(), now())`.execute(
      ownDb,
    )
    await sql`
      insert into usage_event (workspace_id, key, kind, payload, payload_hash, state, reason, received_at, decided_at)
      select ${newWorkspaceId()}, 'call/' || n, 'call', '{}', sha256('x'), 'set_aside', 'unknown_workspace', now(), now()
      from generate_series(1, 3) as n`.execute(ownDb)
    const { server } = await givenOps(ownPlace, redis)

    const metrics = await scrape(server)

    expect(metrics.get('wallet_paddle_events{state="received"}')).toBe(1)
    expect(metrics.get('wallet_paddle_event_oldest_seconds{state="received"}')).toBeGreaterThanOrEqual(3_600)
    expect(metrics.get('wallet_paddle_events{state="needs_review"}')).toBe(1)
    expect(metrics.get('wallet_paddle_events{state="waiting"}')).toBe(0)
    expect(metrics.get('wallet_webhooks_refused_total{reason="stale"}')).toBe(7)
    expect(metrics.get('wallet_holds_open')).toBe(2)
    expect(metrics.get('wallet_holds_silent')).toBe(1)
    expect(metrics.get('wallet_hold_silence_oldest_seconds')).toBeGreaterThanOrEqual(300)
    expect(metrics.get('wallet_calls_unbilled')).toBe(1)
    // Written past the wallets: they say that nothing is held.
    expect(metrics.get('wallet_held_imbalance_micros')).toBe(-400_000)
    expect(metrics.get('wallet_usage_set_aside_events{reason="unknown_workspace"}')).toBe(3)
    expect(metrics.get('wallet_usage_set_aside_events{reason="too_old"}')).toBe(0)
  })

  test('sees money that no posting explains', async ({ ownPlace, ownDb, redis }) => {
    const workspaceId = await givenWorkspace(ownDb)
    await sql`update wallet set balance_micros = balance_micros + 1 where workspace_id = ${workspaceId}`.execute(
      ownDb,
    )
    const { server } = await givenOps(ownPlace, redis)

    expect((await scrape(server)).get('wallet_ledger_imbalance_micros')).toBe(1)
  })

  test('counts the jobs of every queue', async ({ ownPlace, ownQueueNamed, redis }) => {
    await ownQueueNamed('usage').add('call-ended', {})
    await ownQueueNamed('charge').add('top-up-due', {}, { delay: 60_000 })
    const { server } = await givenOps(ownPlace, redis)

    const metrics = await scrape(server)

    expect(metrics.get('wallet_queue_jobs{queue="usage",state="waiting"}')).toBe(1)
    expect(metrics.get('wallet_queue_jobs{queue="charge",state="delayed"}')).toBe(1)
    expect(metrics.get('wallet_queue_jobs{queue="paddle-event",state="failed"}')).toBe(0)
  })

  test('counts requests by route and status, and never by address', async ({
    ownPlace,
    startTestApi,
    place,
  }) => {
    const { server, http } = await givenOps(ownPlace, null)
    const api = await startTestApi({ databaseUrl: place.databaseUrl, context: { http } })
    await api.get('/v1/wallet')
    await api.get('/v1/wallet')
    await api.get('/v1/wallet', { key: null })
    await api.get('/+14155550100/who-knows')

    const text = await textOf(server)

    const counted = parse(text)
    const of = (labels: string): number | undefined =>
      counted.get(`wallet_http_request_seconds_count{${labels}}`)
    expect(of('method="GET",route="/v1/wallet",status="200"')).toBe(2)
    expect(of('method="GET",route="/v1/wallet",status="401"')).toBe(1)
    expect(of('method="GET",route="none",status="404"')).toBe(1)
    expect(text).not.toContain('4155550100')
  })

  test('says which part is down while Postgres is away, and still says the others', async ({
    place: { queuePrefix },
    redis,
  }) => {
    const databaseUrl = 'postgres://nobody:nothing@127.0.0.1:1/none'
    const { server, log } = await givenOps({ databaseUrl, queuePrefix }, redis)

    const metrics = await scrape(server)
    await scrape(server)

    expect(metrics.get('wallet_metric_source_up{source="usage"}')).toBe(0)
    expect(metrics.get('wallet_metric_source_up{source="queues"}')).toBe(1)
    expect(metrics.get('wallet_queue_jobs{queue="usage",state="waiting"}')).toBe(0)
    // Asked twice, said once.
    const said = log.filter((line) => line.msg === 'metrics of a source cannot be read')
    expect(said.map(({ source }) => source).filter((source) => source === 'usage')).toHaveLength(1)
  })

  test('asks Postgres for a number at most every few seconds, however often it is asked', async ({
    ownPlace,
    ownDb,
    redis,
  }) => {
    const workspaceId = await givenWorkspace(ownDb)
    const { server } = await givenOps(ownPlace, redis)
    const before = await scrape(server)

    await receiveUsage(ownDb, [callArrival(aCall(workspaceId))])
    const again = await Promise.all(Array.from({ length: 20 }, () => scrape(server)))

    expect(before.get('wallet_usage_unposted_events')).toBe(0)
    expect(new Set(again.map((metrics) => metrics.get('wallet_usage_unposted_events')))).toEqual(new Set([0]))
  })

  test('reads no long table from end to end for what it reads every few seconds', async ({
    ownPlace,
    ownDb,
  }) => {
    const tables = ['usage_event', 'staged_job', 'hold', 'top_up', 'paddle_event']
    // On small tables Postgres would read everything, whatever there is: this profile does so only where it has to.
    const db = connect(ownPlace.databaseUrl, { profile: 'posting', name: 'metrics', poolSize: 1 })
    const before = await scansOf(ownDb, tables)

    for (const read of [
      readUnposted,
      countSetAside,
      readStagedJobs,
      readHolds,
      countTopUps,
      countPaddleEvents,
    ]) {
      await read(db)
    }
    await db.destroy()

    const after = await until('Postgres has counted it', async () => {
      const scans = await scansOf(ownDb, tables)
      return scans.byIndex >= before.byIndex + tables.length && scans
    })
    expect(after.sequential).toBe(before.sequential)
  })
})

describe('the dashboard and the alerts', () => {
  test.for(['grafana-dashboard.json', 'alerts.yml'])(
    '%s asks only for what is there',
    async (file, { ownPlace, redis }) => {
      const { server } = await givenOps(ownPlace, redis)
      const served = namesIn(await textOf(server))
      const workers = namesIn(await createWorkerMetrics().text())

      const asked = new Set(
        [
          ...(await readFile(join(operations, file), 'utf8')).matchAll(
            /\b(?:wallet|nodejs|process)_[a-z_]+\b/g,
          ),
        ].map(([name]) => name),
      )

      expect(asked.size).toBeGreaterThan(15)
      const known = new Set([...served, ...workers])
      expect([...asked].filter((name) => !known.has(name) && !known.has(familyOf(name)))).toEqual([])
    },
  )

  test('between them leave no number of ours unwatched', async ({ ownPlace, redis }) => {
    const { server } = await givenOps(ownPlace, redis)
    const names = [...namesIn(await textOf(server)), ...namesIn(await createWorkerMetrics().text())]

    const files = await Promise.all(
      ['grafana-dashboard.json', 'alerts.yml'].map((file) => readFile(join(operations, file), 'utf8')),
    )

    const ours = names.filter((name) => name.startsWith('wallet_'))
    expect(ours.filter((name) => !files.some((text) => text.includes(name)))).toEqual([])
  })

  test('the dashboard can be imported: every panel has a place of its own, a title and something to ask', async () => {
    const dashboard: {
      panels: { id: number; type: string; title: string; gridPos: Place; targets?: { expr: string }[] }[]
    } = JSON.parse(await readFile(join(operations, 'grafana-dashboard.json'), 'utf8'))
    type Place = { x: number; y: number; w: number; h: number }

    const { panels } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const places = panels.map(({ gridPos }) => gridPos)
    const overlap = (a: Place, b: Place): boolean =>
      a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
    expect(
      places.filter((one, index) => places.slice(index + 1).some((other) => overlap(one, other))),
    ).toEqual([])
    for (const { type, title, targets, gridPos } of panels) {
      expect(title).not.toBe('')
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      expect(type === 'row' || targets?.every(({ expr }) => expr.length > 0)).toBe(true)
    }
  })
})

async function scansOf(db: Db, tables: string[]): Promise<{ sequential: number; byIndex: number }> {
  const { rows } = await sql<{ sequential: number; byIndex: number }>`
    select sum(seq_scan)::int as sequential, sum(idx_scan)::int as "byIndex"
    from pg_stat_user_tables where relname = any (${tables})`.execute(db)
  return rows[0] ?? { sequential: 0, byIndex: 0 }
}

type Scraped = Parameters<typeof textOf>[0]

async function textOf(server: {
  inject: (url: string) => Promise<{ statusCode: number; body: string }>
}): Promise<string> {
  const { statusCode, body } = await server.inject('/metrics')
  expect(statusCode).toBe(200)
  return body
}

async function scrape(server: Scraped): Promise<Map<string, number>> {
  return parse(await textOf(server))
}

/** Shape: by `name{labels}`, without the label that every sample of a process has. */
function parse(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(' ')
      const name = line
        .slice(0, end)
        .replace(/,?process="[a-z]+"/, '')
        .replace('{,', '{')
        .replace('{}', '')
      return [name, Number(line.slice(end + 1).replace('+Inf', 'Infinity'))]
    }),
  )
}

/** A histogram's samples are named after it. */
function familyOf(name: string): string {
  return name.replace(/_(?:bucket|sum|count)$/, '')
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name ?? '')
}

function hoursAgo(hours: number): Date {
  return new Date(Date.now() - hours * 3_600_000)
}

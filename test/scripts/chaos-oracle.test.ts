// The oracle of the chaos run: that it shares nothing with what it judges, and that it can count.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { catalogue, scheduleOf } from '../../scripts/chaos/catalogue.ts'
import {
  contradictedOf,
  eventAt,
  eventsOf,
  isUnpriced,
  paymentOf,
  planLoad,
  rentalOf,
  roadOf,
  type CallEvent,
} from '../../scripts/chaos/load.ts'
import { expectedOf, expectedOfAll } from '../../scripts/chaos/oracle.ts'
import { drawTimeline } from '../../scripts/chaos/picture.ts'
import { importsOf } from '../support/source-text.ts'
import { runScript } from '../support/run-script.ts'

const checkout = join(import.meta.dirname, '..', '..')
const plan = planLoad({ seed: 7, events: 3_000, faults: 10, base: Date.UTC(2026, 10, 1) })

test('imports nothing but the load, and the load imports nothing at all', async () => {
  expect(await importedBy('oracle')).toEqual(['./load.ts'])
  expect(await importedBy('load')).toEqual([])
})

async function importedBy(name: string): Promise<(string | null)[]> {
  const source = await readFile(join(checkout, 'scripts', 'chaos', `${name}.ts`), 'utf8')
  return importsOf(source).map(({ specifier }) => specifier)
}

describe('what an event comes to', () => {
  const call: CallEvent = {
    kind: 'call',
    id: 'call_1',
    workspaceId: 'ws_chaos_1',
    startedAt: '2026-11-01T10:00:00.000Z',
    tenths: 600,
    direction: 'outbound',
    to: '+14155550100',
    recorded: false,
    admitted: false,
  }
  const { to: _, ...withoutNumber } = call

  const cases: [what: string, event: CallEvent, micros: bigint][] = [
    ['a minute to the United States', call, 180_000n],
    ['a minute to a British mobile, whose prefix is longer', { ...call, to: '+447700900123' }, 210_000n],
    ['a second that was begun', { ...call, tenths: 601 }, 183_000n],
    ['a recorded minute', { ...call, recorded: true }, 200_000n],
    ['a minute over the web', { ...withoutNumber, direction: 'web' }, 100_000n],
    ['a minute from a withheld number', { ...withoutNumber, direction: 'inbound' }, 180_000n],
    // 1/60 of 10 and of 8 cents: 1,666.67 and 1,333.33 micro-dollars, each rounded for itself.
    ['one second', { ...call, tenths: 10 }, 3_000n],
  ]

  test.for(cases)('%s', ([, event, micros]) => {
    expect(expectedOf(event)).toEqual({ state: 'posted', micros })
  })

  test('nothing, where nobody answered; and nothing can be said of a number that has no price', () => {
    expect(expectedOf({ ...call, tenths: 0 })).toMatchObject({ state: 'free' })
    expect(expectedOf({ ...call, to: '+979123456789' })).toMatchObject({ state: 'set_aside' })
  })
})

describe('the load', () => {
  test('is the same for the same seed, and another one for another', () => {
    const numbers = Array.from({ length: 200 }, (_, index) => index)
    const again = planLoad({ seed: 7, events: 3_000, faults: 10, base: plan.base })
    const other = planLoad({ seed: 8, events: 3_000, faults: 10, base: plan.base })

    expect(numbers.map((index) => eventAt(again, index))).toEqual(
      numbers.map((index) => eventAt(plan, index)),
    )
    expect(numbers.map((index) => eventAt(other, index))).not.toEqual(
      numbers.map((index) => eventAt(plan, index)),
    )
  })

  test('has something of everything, and tells over HTTP only what is of one workspace', () => {
    const batches = Array.from({ length: plan.batches }, (_, batch) => batch)
    const events = Array.from({ length: plan.events }, (_, index) => eventAt(plan, index))
    const calls = events.filter((event) => event.kind === 'call')
    const overHttp = batches.filter((batch) => roadOf(plan, batch) === 'http')

    expect(new Set(events.map((event) => event.id)).size).toBe(plan.events)
    expect(new Set(batches.map((batch) => roadOf(plan, batch)))).toEqual(
      new Set(['http', 'queue', 'queue_singly']),
    )
    expect(new Set(calls.map((call) => call.direction))).toEqual(new Set(['outbound', 'inbound', 'web']))
    expect(calls.some((call) => call.admitted)).toBe(true)
    expect(calls.some(isUnpriced)).toBe(true)
    expect(batches.some((batch) => contradictedOf(plan, batch) !== null)).toBe(true)
    expect(batches.filter((batch) => paymentOf(plan, batch) !== null)).toHaveLength(plan.payments)
    expect(batches.filter((batch) => rentalOf(plan, batch) !== null)).toHaveLength(1)
    for (const batch of overHttp) {
      const [from, to] = eventsOf(plan, batch)
      expect(new Set(events.slice(from, to).map((event) => event.workspaceId)).size).toBe(1)
    }
  })

  test('comes to as much over all wallets as over all events', () => {
    const { wallets, totals } = expectedOfAll(plan)
    const balances = [...wallets.values()].reduce((sum, wallet) => sum + wallet.balanceMicros, 0n)
    const grants = BigInt(plan.wallets) * 10_000_000n
    const rents = totals.months * 5_000_000n

    expect(totals.posted + totals.free + totals.setAside).toBe(plan.events)
    expect(balances).toBe(grants + totals.creditedMicros - totals.usageMicros - rents)
    expect(Math.max(...[...wallets.values()].map((wallet) => Number(wallet.recharges)))).toBeLessThan(20)
  })

  test('needs fewer recharges than a day allows, at a million events too', () => {
    const { events, wallets, rechargeUsd } = planLoad({ seed: 1, events: 1_000_000, faults: 200, base: 0 })

    expect((events / wallets) * 0.3).toBeLessThan(rechargeUsd * 15)
  })
})

test('all faults of a kind have their turn before one comes again', () => {
  const schedule = scheduleOf(3, catalogue.length * 2, catalogue).map(({ name }) => name)

  const first = schedule.slice(0, catalogue.length)
  expect(new Set(first).size).toBe(catalogue.length)
  expect(schedule.slice(catalogue.length)).toEqual(first)
})

test('the picture names its faults and has a look for dark pages', () => {
  const samples = [0, 1_000, 2_000, 3_000].map((atMs) => ({ atMs, sent: atMs, posted: atMs }))
  const mark = { name: 'redis-<wiped>', family: 'redis', fromMs: 500, untilMs: 1_500 } as const

  const svg = drawTimeline({ title: 'a & b', samples, marks: [mark] })

  expect(svg).toContain('redis-&lt;wiped&gt;')
  expect(svg).toContain('a &amp; b')
  expect(svg).toContain('prefers-color-scheme: dark')
})

test.for([
  [['--events', '1000', '--faults', '900'], '900 faults need at least 45,000 events'],
  [['--only', 'plague'], '--only: there is no fault "plague"'],
] as const)('refuses %j', async ([args, message]) => {
  const { stderr, code } = await runScript('chaos', args)

  expect(code).toBe(2)
  expect(stderr).toContain(message)
})

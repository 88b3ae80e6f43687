// The shape of the house, held: imports only go down, and some words have no place in some rooms.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { findViolations, type Allowance } from './support/architecture.ts'
import { codeOf, importsOf, type SourceFile } from './support/source-text.ts'

const checkout = join(import.meta.dirname, '..')

const allowances: Allowance[] = [
  { path: 'billing/money.ts', code: 'Number(usdScale)', because: 'a number of digits, not an amount' },
  {
    path: 'billing/money.ts',
    code: 'Number(toDecimal(floorToCent(amount)))',
    because: 'balance_usd is a JSON number, made from a finished decimal',
  },
  { path: 'db/usage-event.ts', code: 'Number(result.numAffectedRows ?? 0n)', because: 'a number of rows' },
  { path: 'db/top-up.ts', code: 'return Number(count)', because: 'a number of steps' },
  {
    path: 'db/migrate.ts',
    code: 'import(new URL(`migrations/',
    because: 'migrations are found by their names',
  },
  {
    path: 'workers/main.ts',
    code: 'readWorkerConfig(process.env)',
    because: 'main hands the environment to whoever reads it',
  },
  {
    path: 'api/main.ts',
    code: 'readApiConfig(process.env)',
    because: 'main hands the environment to whoever reads it',
  },
  // By the real time, because it measures how long something has waited for one of our processes, or for a caller: ADR 17.
  { path: 'db/heartbeat.ts', code: 'clock_timestamp()', because: 'a pulse is real' },
  { path: 'db/idempotency.ts', code: 'clock_timestamp()', because: 'who asks again does so in real time' },
  { path: 'db/metrics.ts', code: 'clock_timestamp() - min(received_at)', because: 'waits for a worker' },
  { path: 'db/metrics.ts', code: 'clock_timestamp() - min(staged_at)', because: 'waits for the relay' },
  { path: 'db/paddle-event.ts', code: 'clock_timestamp() - make_interval', because: 'waits for a worker' },
  {
    path: 'db/paddle-event.ts',
    code: 'insert into refused_webhook',
    because: 'counts what came to the door',
  },
  {
    path: 'db/usage-event.ts',
    code: 'clock_timestamp()',
    because: 'when it came and when a worker got to it',
  },
  { path: 'db/schedule.ts', code: 'clock_timestamp()', because: 'rings and rounds are of our processes' },
  { path: 'workers/place-schedules.ts', code: 'Date.now()', because: "BullMQ's rings are real" },
  { path: 'workers/sweep.ts', code: 'clock_timestamp()', because: 'waits for a worker' },
  { path: 'workers/usage-worker.ts', code: 'Date.now() + 1_000', because: "BullMQ's delays are real" },
  { path: 'api/usage-routes.ts', code: 'new Date()', because: 'when it came, as the queue says of a job' },
  { path: 'api/call-routes.ts', code: 'new Date()', because: 'when it came, as the queue says of a job' },
  { path: 'api/paddle-webhook.ts', code: 'now: new Date()', because: "signed by the sender's real clock" },
  { path: 'api/rate-limit.ts', code: 'Date.now()', because: 'callers are counted in real time' },
  { path: 'api/dashboard-routes.ts', code: 'Date.now()', because: 'tries are counted in real time' },
  { path: 'api/add-funds-routes.ts', code: 'Date.now()', because: 'previews are counted in real time' },
  { path: 'db/dashboard-session.ts', code: 'clock_timestamp()', because: 'a person sits there in real time' },
  { path: 'vitest.config.ts', code: 'export default defineConfig', because: 'vitest asks for it' },
  {
    path: 'test/support/global-setup.ts',
    code: 'export default async function setUp',
    because: 'vitest asks for it',
  },
  {
    path: 'scripts/run.cjs',
    code: 'import(pathToFileURL(file).href)',
    because: 'npm says which script it runs',
  },
  {
    path: 'test/support/command-host.ts',
    code: 'import(file.href)',
    because: 'a test says which command it runs',
  },
]

test('the source keeps to the rules of the house', async () => {
  const files = await readSources()

  expect(files.length).toBeGreaterThan(80)
  expect(findViolations(files, allowances).map(({ path, line, what }) => `${path}:${line} ${what}`)).toEqual(
    [],
  )
})

describe('the rules', () => {
  const forbidden: [path: string, source: string, what: string][] = [
    ['billing/price.ts', "import { connect } from '../db/connect.ts'", 'billing may not know db'],
    ['billing/price.ts', "import type { Job } from '../jobs/contract.ts'", 'billing may not know jobs'],
    ['billing/price.ts', "export { log } from '../runtime/log.ts'", 'billing may not know runtime'],
    ['billing/price.ts', "import { readFile } from 'node:fs/promises'", 'imports node:fs/promises'],
    ['billing/price.ts', "import pg from 'pg'", 'imports pg'],
    ['jobs/call.ts', "import { postUsage } from '../db/post-usage.ts'", 'jobs may not know db'],
    ['jobs/call.ts', "const { connect } = await import('../db/connect.ts')", 'jobs may not know db'],
    [
      'jobs/call.ts',
      "import {\n  connect,\n  // for now\n} from\n  '../db/connect.ts'",
      'jobs may not know db',
    ],
    ['jobs/call.ts', "import { pino } from 'pino'", 'imports pino'],
    ['jobs/call.ts', "import '../workers/main.ts'", 'jobs may not know workers'],
    ['db/wallet.ts', "import { charge } from '../paddle/charge.ts'", 'db may not know paddle'],
    ['paddle/charge.ts', "import { lockWallet } from '../db/wallet.ts'", 'paddle may not know db'],
    ['dashboard/page.ts', "import { findBalance } from '../db/wallet.ts'", 'dashboard may not know db'],
    ['db/wallet.ts', "import { pause } from '../runtime/repeat.ts'", 'db may not know runtime'],
    ['runtime/config.ts', "import { connect } from '../db/connect.ts'", 'runtime may not know db'],
    ['workers/charge.ts', "import { routes } from '../api/routes.ts'", 'workers may not know api'],
    ['api/routes.ts', "import { startRelay } from '../workers/relay.ts'", 'api may not know workers'],
    ['workers/charge.ts', "import { withStack } from '../scripts/stack.ts'", 'workers may not know scripts'],
    ['workers/charge.ts', "import { Paddle } from '@paddle/paddle-node-sdk'", 'which only paddle may know'],
    [
      'db/wallet.ts',
      "import type { Transaction } from '@paddle/paddle-node-sdk'",
      'which only paddle may know',
    ],
    ['api/routes.ts', "import { Agent } from 'undici'", 'which only paddle may know'],
    ['scripts/start.ts', "await import('undici/types/agent.d.ts')", 'which only paddle may know'],
    ['jobs/call.ts', "import { Paddle } from '@paddle/paddle-node-sdk'", 'which only paddle may know'],
    [
      'workers/charge.ts',
      "import { controlSimulator } from '../paddle/simulator/control.ts'",
      'only scripts and tests may know the simulator',
    ],
    [
      'api/checkout.ts',
      "import { testCards } from '../paddle/simulator/cards.ts'",
      'only scripts and tests may know the simulator',
    ],
    [
      'paddle/gateway.ts',
      "import type { Fault } from './simulator/control-commands.ts'",
      'only scripts and tests may know the simulator',
    ],
    ['scripts/start.ts', "import { aCall } from '../test/support/given.ts'", 'scripts may not know test'],
    [
      'db/migrations/0009_more.ts',
      "import { accounts } from '../../billing/ledger-draft.ts'",
      'a migration is frozen',
    ],
    ['workers/charge.ts', "import { connect } from '../db/connect'", 'without its ending'],
    ['workers/charge.ts', "import { x } from '../../elsewhere/x.ts'", 'from outside'],
    ['workers/charge.ts', "import { createProducer } from 'voice-wallet/jobs'", 'not by a relative path'],
    ['workers/charge.ts', 'await import(`../db/${name}.ts`)', 'imports what it computes'],
    ['billing/index.ts', '', 'is a barrel'],
    ['db/utils/dates.ts', '', 'is in a drawer named utils'],
    ['workers/helpers.ts', '', 'is in a drawer named helpers'],
    ['reports/monthly.ts', '', 'which no rule knows'],
    ['db/wallet.ts', 'export default function wallet() {}', 'exports without a name'],
    ['db/wallet.ts', 'const wallet = 1\nexport { wallet as default }', 'exports without a name'],
    ['workers/charge.ts', "console.log('charged')", 'writes past the log'],
    ['billing/price.ts', 'const cents = Number(text) * 100', 'makes a float'],
    ['db/ledger.ts', 'const dollars = parseFloat(row.amount)', 'makes a float'],
    ['db/ledger.ts', 'const dollars = `${(micros / 1e6).toFixed(2)}`', 'makes a float'],
    ['db/connect.ts', "const url = process.env['DATABASE_URL']", 'reads the environment'],
    ['workers/relay.ts', 'const { LOG_LEVEL } = process.env', 'reads the environment'],
    ['api/server.ts', "const key = process.env['PADDLE_API_KEY']", 'reads the environment'],
    ['api/main.ts', "const key = process.env['PADDLE_API_KEY']", 'reads the environment'],
    ['workers/relay.ts', "const { LOG_LEVEL } = process['env']", 'reads the environment'],
    ['db/ledger.ts', 'await sql.raw(`select ${name}`).execute(db)', 'puts text into SQL'],
    ['scripts/ledger.ts', 'sql`select ${sql.lit(name)}`', 'puts text into SQL'],
    ['billing/decline.ts', 'const now = new Date()', 'not the one that the books are dated by'],
    ['workers/rental.ts', 'const now = Date.now()', 'not the one that the books are dated by'],
    ['api/calls.ts', 'const today = Date()', 'not the one that the books are dated by'],
    ['db/rental.ts', 'sql`select clock_timestamp() as now`', 'not for wallet_now()'],
    ['db/rental.ts', "sql`where due_at < now() - interval '1 day'`", 'not for wallet_now()'],
    ['workers/rental.ts', 'sql`where day = current_date`', 'not for wallet_now()'],
    ['jobs/call.ts', "queue.add('call', data, { deduplication: { id } })", 'lets BullMQ forget'],
  ]

  test.for(forbidden)('see it when %s says %j', ([path, source, what]) => {
    expect(findViolations([{ path, source }]).map((violation) => violation.what)).toEqual([
      expect.stringContaining(what),
    ])
  })

  const allowed: [path: string, source: string][] = [
    ['billing/price.ts', "import { micros } from './money.ts'\nimport { z } from 'zod'"],
    ['jobs/call.ts', "import { BillingError } from '../billing/billing-error.ts'"],
    ['db/wallet.ts', "import type { Job } from '../jobs/contract.ts'"],
    ['db/rental.ts', 'const at = new Date(row.due_at.getTime() + clock.now().getTime())'],
    ['db/rental.ts', "sql`where due_at <= wallet_now() - interval '1 day'`"],
    [
      'workers/charge.ts',
      "import { lockWallet } from '../db/wallet.ts'\nimport { charge } from '../paddle/charge.ts'",
    ],
    ['api/routes.ts', "import { page } from '../dashboard/page.ts'\nimport { log } from '../runtime/log.ts'"],
    [
      'scripts/start.ts',
      "import { main } from '../workers/main.ts'\nconst url = process.env['DATABASE_URL']",
    ],
    ['paddle/client.ts', "import { Paddle } from '@paddle/paddle-node-sdk'\nimport { Agent } from 'undici'"],
    ['paddle/simulator/tax.ts', "import { cards } from './cards.ts'\nimport { ids } from '../facts.ts'"],
    ['scripts/start.ts', "import { controlSimulator } from '../paddle/simulator/control.ts'"],
    ['scripts/drills/cell.ts', "import { controlSimulator } from '../../paddle/simulator/control.ts'"],
    ['test/paddle/wire.test.ts', "import { Paddle } from '@paddle/paddle-node-sdk'"],
    ['test/stories/refund.test.ts', "import { testCards } from '../../paddle/simulator/cards.ts'"],
    ['test/db/wallet.test.ts', "import { lockWallet } from '../../db/wallet.ts'\nawait sql.lit('x')"],
    ['db/migrations/0009_more.ts', "import { sql } from 'kysely'\nsql.lit('wallet_worker')"],
    ['runtime/config.ts', "export const url = process.env['DATABASE_URL']"],
    ['billing/price.ts', "// import { connect } from '../db/connect.ts'\n/* console.log(Number(1)) */"],
    ['billing/price.ts', 'const advice = "import { connect } from \'../db/connect.ts\'; console.log(1)"'],
    ['db/wallet.ts', 'const pattern = /\'"`parseFloat(/\nconst ratio = one / other / Number.EPSILON'],
  ]

  test.for(allowed)('leave %s alone when it says %j', ([path, source]) => {
    expect(findViolations([{ path, source }])).toEqual([])
  })

  test('let a main hand over its environment, and read nothing of it besides', () => {
    const handsOver = 'const config = readApiConfig(process.env)'
    const allowance = { path: 'api/main.ts', code: 'readApiConfig(process.env)', because: 'it hands it over' }

    expect(findViolations([{ path: 'api/main.ts', source: handsOver }], [allowance])).toEqual([])
    expect(
      findViolations(
        [{ path: 'api/main.ts', source: `${handsOver}\nconst key = process.env.KEY` }],
        [allowance],
      ),
    ).toMatchObject([{ line: 2 }])
  })

  test('say where, and take an allowance only in its own file and for its own words', () => {
    const source = 'const scale = 6n\nconst digits = Number(scale)\nconst dollars = Number(text)\n'
    const allowance = { path: 'billing/money.ts', code: 'Number(scale)', because: 'a number of digits' }

    const here = findViolations([{ path: 'billing/money.ts', source }], [allowance])
    const elsewhere = findViolations([{ path: 'billing/other.ts', source }], [allowance])

    expect(here).toEqual([
      { path: 'billing/money.ts', line: 3, what: 'makes a float where money may be: Number(' },
    ])
    expect(elsewhere.map(({ line }) => line)).toEqual([2, 3, 0])
    expect(elsewhere.at(-1)?.what).toBe('no longer needs leave for Number(scale)')
  })
})

describe('reading source as text', () => {
  test('finds every way to import, and nothing that only looks like one', () => {
    const source = [
      "import a from 'a'",
      'import { b, type C } from "b" // import x from \'x\'',
      "import * as d from 'd'; import 'e'",
      "export * from 'f'",
      "export { g } from 'g'",
      "const h = await import('h')",
      "const i = require('i')",
      'const text = `import y from \'y\' ${await import("j")} import("z")`',
      "import k from 'k' with { type: 'json' }",
      "const from = 'nowhere'",
      'import(computed)',
      "import type { L } from 'l'",
    ].join('\n')

    expect(importsOf(source).map(({ specifier, line }) => [specifier, line])).toEqual([
      ['a', 1],
      ['b', 2],
      ['d', 3],
      ['e', 3],
      ['f', 4],
      ['g', 5],
      ['h', 6],
      ['i', 7],
      ['j', 8],
      ['k', 9],
      [null, 11],
      ['l', 12],
    ])
  })

  test('blanks comments and strings, and keeps every character in its place', () => {
    const source = "a('it\\'s', /[/'\"]/g) // c\n/* d\n */ e(`f ${g('h')} i`) / j"

    const code = codeOf(source, { keepStrings: false })

    expect(code).toHaveLength(source.length)
    expect(code.replaceAll(/ +/g, ' ')).toBe("a(' ', / /g) \n \n e(` ${g(' ')} `) / j")
  })
})

async function readSources(): Promise<SourceFile[]> {
  const entries = await readdir(checkout, { withFileTypes: true })
  const folders = entries.filter(
    (entry) => entry.isDirectory() && !/^(?:\.|node_modules$|dist$)/.test(entry.name),
  )
  const inFolders = await Promise.all(
    folders.map(async ({ name }) => {
      const paths = await readdir(join(checkout, name), { recursive: true })
      return paths.map((path) => join(name, path))
    }),
  )
  const atRoot = entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
  const paths = [...atRoot, ...inFolders.flat()].filter((path) => /\.(?:ts|cts|mts|js|cjs|mjs)$/.test(path))
  return await Promise.all(
    paths.map(async (path) => ({
      path: path.replaceAll('\\', '/'),
      source: await readFile(join(checkout, path), 'utf8'),
    })),
  )
}

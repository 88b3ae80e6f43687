/**
 * The fault matrix: every way in which an answer of Paddle's can be lost, before and after the charge took effect, visible to a
 * search at once and late, with the workers killed among them. Paddle's journal must show one capture for each top-up, and the
 * ledger one credit.
 */
import { styleText } from 'node:util'

import { verifyLedger } from '../db/verify.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import { pause } from '../runtime/repeat.ts'
import { runScript } from './command-line.ts'
import { startDrillStack, type DrillStack } from './drills/drill-stack.ts'
import {
  faultKinds,
  judgeCell,
  prepareCell,
  startRecharge,
  watchCell,
  type Cell,
  type CellResult,
  type Prepared,
} from './drills/fault-cell.ts'
import { withGateway } from './paddle-place.ts'

/** What Paddle does not say about itself, one way and the other. */
const settings = [
  {
    name: 'webhooks lost, declines leave a canceled transaction, parallel charges both succeed',
    webhooks: 'drop',
    switches: { declinedTransaction: 'canceled', parallelCharges: 'both', customDataPropagation: true },
  },
  {
    name: 'webhooks come, declines leave nothing, parallel charges conflict, custom data is not copied on',
    webhooks: 'deliver',
    switches: { declinedTransaction: 'absent', parallelCharges: 'conflict', customDataPropagation: false },
  },
] as const

await runScript({
  name: 'paddle-faults',
  usage: `usage: npm run -s paddle-faults

Lets every kind of lost answer meet a recharge: {hang, reset, 500, HTML 502, empty 504, truncated JSON, kill -9 of the worker} x
{before, after} the charge took effect x {visible to a search at once, after a lag}, on real Postgres, Redis and HTTP, with Paddle's
undocumented behaviours switched one way and the other. Starts throwaway servers of its own unless DATABASE_URL and REDIS_URL name
some. The protocol's minutes run as milliseconds: a quarter of an hour takes six seconds; the whole takes about a minute.

  --help   this text

Exits 0 when each cell captured once and credited what it captured in time; 1 when any did not.`,
  options: {},
  run: async () => {
    const interrupted = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())
    const stack = await startDrillStack((message) => process.stderr.write(`${message}\n`))
    try {
      const environment = stack.paddleEnvironment
      return await withGateway({ environment, simulatorUrl: null }, (gateway) =>
        runMatrix(stack, gateway, interrupted.signal),
      )
    } finally {
      await stack.stop()
    }
  },
})

async function runMatrix(
  stack: DrillStack,
  gateway: Pick<PaddleGateway, 'getSubscription'>,
  signal: AbortSignal,
): Promise<number> {
  let violations = 0
  for (const [index, setting] of settings.entries()) {
    print(`\n${styleText('bold', setting.name)}`)
    await stack.control.webhooks({ mode: setting.webhooks })
    await stack.control.switches(setting.switches)
    const cells = allCells()
    const prepared: Prepared[] = []
    for (const [place, cell] of cells.entries()) {
      prepared.push(await prepareCell(stack, gateway, cell, `drill_${index}_${place}`))
    }
    await runCells(
      stack,
      prepared.filter(({ cell }) => cell.kind !== 'kill -9'),
      signal,
    )
    await runKilledCells(
      stack,
      prepared.filter(({ cell }) => cell.kind === 'kill -9'),
      signal,
    )
    if (signal.aborted) return 130
    const journal = await stack.control.journal()
    const results: CellResult[] = []
    for (const each of prepared) results.push(await judgeCell(stack, each, journal))
    printTable(results)
    violations += results.filter((result) => result.violations.length > 0).length
  }
  const { breaks } = await verifyLedger(stack.db)
  for (const each of breaks) print(styleText('red', `ledger: ${each.workspaceId} ${each.where} ${each.what}`))
  const cells = settings.length * allCells().length
  print(
    violations + breaks.length === 0
      ? `\n${styleText('green', 'every promise kept')}: ${cells} cells, one capture and one credit each; the ledger verifies`
      : `\n${styleText('red', `${violations} of ${cells} cells broke a promise`)}`,
  )
  return violations + breaks.length === 0 ? 0 : 1
}

async function runCells(stack: DrillStack, cells: readonly Prepared[], signal: AbortSignal): Promise<void> {
  for (const each of cells) await startRecharge(stack, each)
  await Promise.all(cells.map((each) => watchCell(stack, each, signal)))
}

/** All of them wait for their answers when their worker is killed. */
async function runKilledCells(
  stack: DrillStack,
  cells: readonly Prepared[],
  signal: AbortSignal,
): Promise<void> {
  const before = await countCharges(stack)
  for (const each of cells) await startRecharge(stack, each)
  const deadline = performance.now() + 30_000
  while ((await countCharges(stack)) < before + cells.length) {
    if (performance.now() > deadline || signal.aborted)
      throw new Error('the charges to be cut off did not come')
    await pause(10)
  }
  const pid = stack.workers.pid()
  if (pid === undefined) throw new Error('there is no worker to kill')
  process.kill(pid, 'SIGKILL')
  await Promise.all(cells.map((each) => watchCell(stack, each, signal)))
}

async function countCharges({ control }: DrillStack): Promise<number> {
  const { requests } = await control.journal()
  return Object.entries(requests).reduce(
    (sum, [route, count]) => (route.endsWith('/charge') ? sum + count : sum),
    0,
  )
}

function allCells(): Cell[] {
  return faultKinds.flatMap((kind) =>
    (['before', 'after'] as const).flatMap((when) =>
      (['at once', 'after a lag'] as const).map((visible) => ({ kind, when, visible })),
    ),
  )
}

function printTable(results: readonly CellResult[]): void {
  print(
    styleText(
      'dim',
      `  ${'fault'.padEnd(16)}${'effect'.padEnd(8)}${'visible'.padEnd(13)}${'sent'.padStart(5)}${'captured'.padStart(10)}${'credited'.padStart(10)}${'after'.padStart(9)}`,
    ),
  )
  for (const { cell, submissions, capturedCents, creditedCents, tookMs, violations } of results) {
    const took = tookMs === null ? '-' : minutes(tookMs)
    const verdict =
      violations.length === 0 ? styleText('green', 'ok') : styleText('red', violations.join('; '))
    print(
      `  ${cell.kind.padEnd(16)}${cell.when.padEnd(8)}${cell.visible.padEnd(13)}${String(submissions).padStart(5)}` +
        `${dollars(capturedCents).padStart(10)}${dollars(creditedCents).padStart(10)}${took.padStart(9)}  ${verdict}`,
    )
  }
}

function dollars(cents: bigint): string {
  return `$${cents / 100n}`
}

/** Of the protocol's time. */
function minutes(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

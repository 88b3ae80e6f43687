/** Reconcile: asks Paddle for everything of some days, adopts what is missing here, and says what does not fit. */
import { BillingError } from '../billing/billing-error.ts'
import { centsToMicros, creditReviewReasons, explainCreditReview, isCaptured } from '../billing/credit.ts'
import { displayUsdExact, formatUsd, sumMicros, type Micros } from '../billing/money.ts'
import type { PaddleTransaction } from '../billing/paddle-facts.ts'
import { readClock } from '../db/clock.ts'
import { connect } from '../db/connect.ts'
import type { Db } from '../db/schema.ts'
import type { PaddleGateway } from '../paddle/gateway.ts'
import type { Misfit } from '../workers/adopt-from-paddle.ts'
import { reconcile, type Reconciliation } from '../workers/reconcile.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { note, print } from './money-in/operator-books.ts'
import { fold, second } from './money-in/text.ts'
import { explainRefusal } from './money-in/wording.ts'
import { findPaddle, withGateway } from './paddle-place.ts'
import { withStack } from './stack.ts'

const dayMs = 86_400_000

await runScript({
  name: 'reconcile',
  usage: `usage: npm run -s reconcile -- [--days <n> | --since <date> | --all] [--json]

Compares Paddle with the ledger, both ways: what Paddle captured, refunded or took back must be booked here, and what is
credited here must be captured there. What is missing here is adopted, by the functions that apply webhooks, so that
running it again changes nothing. On a fresh database --all gives every credit back.

  --days <n>      what changed within so many days, 1 to 3650 (default 3)
  --since <date>  what changed since then: 2026-11-01, or 2026-11-01T12:00:00Z; UTC
  --all           everything that Paddle has
  --json          one JSON document instead of a table
  --help          this text

Exits 0 when everything fits, also when something had to be adopted; 1 when anything does not fit, or when Paddle cannot
be asked. Needs Paddle: an npm start in this checkout, or PADDLE_API_KEY and its companions.`,
  options: {
    days: { type: 'string' },
    since: { type: 'string' },
    all: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  run: async (options, words) => {
    if (words.length > 0) throw new Misuse(`expected no "${words.join(' ')}"`)
    const asked = readSince(options)
    return await withStack({ log: note }, async (stack, signal) => {
      const place = await findPaddle(stack)
      const db = connect(stack.databaseUrl, { profile: 'operator', name: 'reconcile', poolSize: 2 })
      const progress = createProgress(signal)
      try {
        const since = asked instanceof Date ? asked : await daysAgo(db, asked.days)
        return await withGateway(place, async (gateway, productId) => {
          const paddle = countCaptured(gateway)
          progress.say(`asking Paddle what changed since ${second(since)}`)
          const reconciling = { db, gateway: paddle.gateway, productId, onProgress: progress.compared }
          const result = await reconcile(reconciling, { since })
          progress.end()
          if (result.outcome !== 'reconciled') {
            note(
              fold(`reconcile: ${explainRefusal(result)} What was adopted until then stays; run it again.`),
            )
            return 1
          }
          const { outcome: _outcome, ...report } = result
          if (options.json === true) print(jsonOf(report, paddle.captured()))
          else printReport(report, paddle.captured())
          return report.misfits.length === 0 ? 0 : 1
        })
      } finally {
        progress.end()
        await db.destroy()
      }
    })
  },
})

/** Throws: Misuse. */
function readSince({
  days,
  since,
  all,
}: {
  days?: string | undefined
  since?: string | undefined
  all?: boolean | undefined
}): Date | { days: number } {
  if ([days, since, all].filter((each) => each !== undefined).length > 1) {
    throw new Misuse('--days, --since and --all: one of them')
  }
  if (all === true) return new Date(0)
  if (since === undefined) return { days: wholeNumber('--days', days ?? '3', { least: 1, most: 3_650 }) }
  const at = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/.test(since) ? new Date(since) : null
  if (at === null || Number.isNaN(at.getTime()) || !at.toISOString().startsWith(since.slice(0, 10))) {
    throw new Misuse(`--since: expected a date such as 2026-11-01 or 2026-11-01T12:00:00Z, got "${since}"`)
  }
  if (at.getTime() > Date.now()) throw new Misuse(`--since: ${since} is still to come`)
  return at
}

/** By the clock that the credits are dated by. */
async function daysAgo(db: Db, days: number): Promise<Date> {
  return new Date((await readClock(db)).getTime() - days * dayMs)
}

/** `free`: captured for nothing, such as the saving of a card. */
type Captured = { count: number; free: number; micros: Micros }

/** Paddle's side of the comparison, counted as it goes by: money that it has captured, in dollars and before tax. */
function countCaptured(gateway: PaddleGateway): { gateway: PaddleGateway; captured: () => Captured } {
  let transactions: readonly PaddleTransaction[] = []
  return {
    gateway: {
      ...gateway,
      listTransactions: async (request) => {
        const listed = await gateway.listTransactions(request)
        if (listed.outcome === 'listed') ({ transactions } = listed)
        return listed
      },
      // Credits of the time whose transactions have not changed in it are asked for one by one.
      getTransaction: async (transactionId) => {
        const found = await gateway.getTransaction(transactionId)
        if (found.outcome === 'found') transactions = [...transactions, found.transaction]
        return found
      },
    },
    captured: () => {
      const amounts = transactions.filter(isCaptured).map(netMicros)
      const free = amounts.filter((amount) => amount === 0n).length
      return { count: amounts.length - free, free, micros: sumMicros(amounts) }
    },
  }
}

function netMicros({ lines }: PaddleTransaction): Micros {
  const inDollars = lines.filter((line) => line.net.currency === 'USD')
  return centsToMicros(inDollars.reduce((sum, line) => sum + line.net.amount, 0n))
}

/** One line on a terminal that says how far it is. Ctrl-C ends the work between two transactions. */
function createProgress(signal: AbortSignal) {
  const { stderr } = process
  const clear = (): void => void (stderr.isTTY && stderr.write('\r\u001b[2K'))
  const say = (text: string): void => void (stderr.isTTY && stderr.write(`\r\u001b[2K${text}`))
  return {
    say,
    compared: ({ transactions }: { transactions: number }): void => {
      if (signal.aborted) {
        throw new BillingError('interrupted', 'interrupted: what was adopted until now stays; run it again')
      }
      if (transactions % 25 === 0) say(`${transactions.toLocaleString('en')} transactions compared`)
    },
    end: clear,
  }
}

function printReport(report: Reconciliation, captured: Captured): void {
  const { since, adjustments, creditedMicros, adopted, misfits } = report
  const paid = displayUsdExact(captured.micros)
  const credited = displayUsdExact(creditedMicros)
  const width = Math.max(paid.length, credited.length)
  print(since.getTime() === 0 ? 'Everything that Paddle has\n' : `Since ${second(since)}\n`)
  const others = captured.free === 0 ? '' : `, and ${captured.free} for nothing, such as cards saved`
  print(
    `  Paddle captured  ${paid.padStart(width)}   ${captured.count} payments${others}; ${adjustments} adjustments`,
  )
  print(`  credited here    ${credited.padStart(width)}`)
  print(`\nAdopted now: ${adopted.length === 0 ? 'nothing, it was all here' : adopted.length}`)
  for (const { paddleId, workspaceId, amountMicros } of adopted) {
    const amount = amountMicros === null ? 'adjustment' : displayUsdExact(amountMicros)
    print(`  ${paddleId.padEnd(32)}${amount.padStart(14)}  ${workspaceId}`)
  }
  if (misfits.length === 0) {
    print('\nPaddle and the ledger fit.')
    return
  }
  print(`\nDoes not fit: ${misfits.length}`)
  for (const misfit of misfits) {
    const { what, paddleId, workspaceId } = misfit
    print(`  ${paddleId.padEnd(32)}  ${what}${workspaceId === null ? '' : `  ${workspaceId}`}`)
    print(fold(explain(misfit), '      '))
  }
}

function explain({ why, what }: Misfit): string {
  const reason = creditReviewReasons.find((each) => each === why)
  if (reason !== undefined) return `${explainCreditReview(reason)} (${why})`
  if (what === 'top-up needs a review')
    return `${why}: look it up at Paddle, then npm run -s top-ups -- --resolve`
  return why
}

/** Amounts as decimal strings, as in all JSON of ours. */
function jsonOf(report: Reconciliation, captured: Captured): string {
  const { since, transactions, adjustments, creditedMicros, adopted, misfits } = report
  return JSON.stringify(
    {
      since: since.toISOString(),
      fits: misfits.length === 0,
      transactions,
      adjustments,
      captured_usd: formatUsd(captured.micros),
      credited_usd: formatUsd(creditedMicros),
      adopted: adopted.map(({ paddleId, workspaceId, amountMicros }) => ({
        paddle_id: paddleId,
        workspace_id: workspaceId,
        amount_usd: amountMicros === null ? null : formatUsd(amountMicros),
      })),
      misfits: misfits.map(({ what, paddleId, workspaceId, why }) => ({
        what,
        paddle_id: paddleId,
        workspace_id: workspaceId,
        why,
      })),
    },
    null,
    2,
  )
}

/** Recomputes the whole ledger and says whether it is right. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'

import { describeAccount } from '../billing/ledger-draft.ts'
import { displayUsdExact } from '../billing/money.ts'
import { connect } from '../db/connect.ts'
import type { Db } from '../db/schema.ts'
import { findLostHeads } from '../db/verify-heads.ts'
import { mostBreaks, verifyLedger, type Verification } from '../db/verify.ts'
import { Misuse, runScript } from './command-line.ts'
import { readHeads, writeHeads } from './heads-file.ts'
import { withStack } from './stack.ts'

await runScript({
  name: 'verify',
  usage: `usage: npm run -s verify -- [--json] [--heads <file>] [--against <file>]

Recomputes every balance, sequence, hash and sum of the ledger from its rows, rates every call and message again from what
was told, adds up the trial balance over all accounts, and looks whether the triggers are on that guard all of it.
Exits 0 when all of it is right; 1 when something is not, and names the row. It may run while postings go on.
Works on DATABASE_URL and REDIS_URL, else on this checkout's embedded servers.

  --json            one JSON object instead of the report
  --heads <file>    writes the newest transaction of every wallet, with its hash, when all is right. Keep it where whoever may
                    change the database may not
  --against <file>  compares with such a file: nothing that was there then may be missing or another
  --help            this text`,
  options: { json: { type: 'boolean' }, heads: { type: 'string' }, against: { type: 'string' } },
  run: async ({ json, heads: headsFile, against }, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}"`)
    return await withStack({ log }, async (stack) => {
      const db = connect(stack.databaseUrl, { profile: 'auditor', name: 'verify', poolSize: 1 })
      try {
        const startedAt = performance.now()
        // First what may be a mistake in the call: the rest takes minutes.
        const lost = against === undefined ? [] : await compareWithHeads(db, against)
        if (headsFile !== undefined) await mkdir(dirname(headsFile), { recursive: true })
        const { heads, ...verification } = await verifyLedger(db, {
          onProgress: json === true ? () => undefined : progress(),
        })
        verification.breaks.push(...lost)
        const seconds = (performance.now() - startedAt) / 1000
        process.stdout.write(json === true ? jsonOf(verification) : reportOf(verification, seconds))
        if (verification.breaks.length > 0) return 1
        if (headsFile !== undefined) {
          await writeHeads(headsFile, heads)
          log(`the heads of ${heads.length} wallets are in ${headsFile}: keep it somewhere else`)
        }
        return 0
      } finally {
        await db.destroy()
      }
    })
  },
})

/** What the file has and the ledger has not, the first of it. */
async function compareWithHeads(db: Db, file: string): Promise<Verification['breaks']> {
  const lost: Verification['breaks'] = []
  let wallets = 0
  for await (const page of readHeads(file)) {
    lost.push(...(await findLostHeads(db, page)))
    wallets += page.length
    if (lost.length >= mostBreaks) break
  }
  if (lost.length === 0) log(`the heads of ${wallets} wallets in ${file} are all there`)
  return lost.slice(0, mostBreaks)
}

/** What was recomputed, and what does not fit. */
type Findings = Omit<Verification, 'heads'>

function reportOf(
  { wallets, transactions, postings, trialBalance, breaks }: Findings,
  seconds: number,
): string {
  const accounts = trialBalance
    .map(({ account, amountMicros }) => {
      return `  ${describeAccount(account).title.padEnd(24)}${displayUsdExact(amountMicros).padStart(18)}`
    })
    .join('\n')
  const verdict =
    breaks.length === 0
      ? 'The ledger is right: every sequence, balance, hash, price and sum was recomputed.'
      : `THE LEDGER IS BROKEN:\n${breaks.map(({ workspaceId, where, what }) => `  ${workspaceId}  ${where}: ${what}`).join('\n')}`
  return (
    `${wallets} wallets, ${transactions} transactions, ${postings} postings in ${seconds.toFixed(1)} s\n\n` +
    `Trial balance (credits above zero, together zero)\n${accounts}\n\n${verdict}\n`
  )
}

function jsonOf({ trialBalance, ...verification }: Findings): string {
  const balances = trialBalance.map(({ account, amountMicros }) => [account, amountMicros.toString()])
  return `${JSON.stringify({ ...verification, trialBalanceMicros: Object.fromEntries(balances) })}\n`
}

/** A line that counts, on a terminal. */
function progress(): (transactions: number) => void {
  return (transactions) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${transactions} transactions `)
  }
}

function log(message: string): void {
  process.stderr.write(`${message}\n`)
}

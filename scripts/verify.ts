/** Recomputes the whole ledger and says whether it is right. */
import { describeAccount } from '../billing/ledger-draft.ts'
import { displayUsdExact } from '../billing/money.ts'
import { connect } from '../db/connect.ts'
import { verifyLedger, type Verification } from '../db/verify.ts'
import { runScript } from './command-line.ts'
import { withStack } from './stack.ts'

await runScript({
  name: 'verify',
  usage: `usage: npm run -s verify -- [--json]

Recomputes every balance, sequence, hash and sum of the ledger from its rows, rates every call and message again from what
was told, and adds up the trial balance over all accounts.
Exits 0 when all of it is right; 1 when something is not, and names the row. It may run while postings go on.
Works on DATABASE_URL and REDIS_URL, else on this checkout's embedded servers.

  --json  one JSON object instead of the report
  --help  this text`,
  options: { json: { type: 'boolean' } },
  run: async ({ json }) =>
    await withStack({ log }, async (stack) => {
      const db = connect(stack.databaseUrl, { profile: 'auditor', name: 'verify', poolSize: 1 })
      try {
        const startedAt = performance.now()
        const verification = await verifyLedger(db, {
          onProgress: json === true ? () => undefined : progress(),
        })
        const seconds = (performance.now() - startedAt) / 1000
        process.stdout.write(json === true ? jsonOf(verification) : reportOf(verification, seconds))
        return verification.breaks.length === 0 ? 0 : 1
      } finally {
        await db.destroy()
      }
    }),
})

function reportOf(
  { wallets, transactions, postings, trialBalance, breaks }: Verification,
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

function jsonOf({ trialBalance, ...verification }: Verification): string {
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

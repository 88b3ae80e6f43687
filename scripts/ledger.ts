/** Reads the books: the balances of all wallets, or one wallet's transactions with their postings. */
import { describeAccount } from '../billing/ledger-draft.ts'
import { displayUsdExact, formatUsd } from '../billing/money.ts'
import { connect } from '../db/connect.ts'
import type { Db } from '../db/schema.ts'
import { listStatement, type StatementLine } from '../db/statement.ts'
import { runScript, wholeNumber } from './command-line.ts'
import { withStack } from './stack.ts'

const columns =
  'workspace,sequence,kind,reference,occurred_at,posted_at,debit_account,credit_account,amount_usd,quantity,prefix,balance_after_usd'

await runScript({
  name: 'ledger',
  usage: `usage: npm run -s ledger -- [--workspace <id>] [--reference <id>] [--limit <n>] [--csv]

The newest ledger transactions, each with its postings: which account was debited, which credited, by how much. Without
options also the balance of every wallet. Works on DATABASE_URL and REDIS_URL, else on this checkout's embedded servers.

  --workspace <id>  of one workspace
  --reference <id>  of one call, chat, number or top-up
  --limit <n>       how many (default 10)
  --csv             one line a posting, amounts in dollars with six decimals
  --help            this text`,
  options: {
    workspace: { type: 'string' },
    reference: { type: 'string' },
    limit: { type: 'string', default: '10' },
    csv: { type: 'boolean' },
  },
  run: async ({ workspace, reference, limit, csv }) => {
    const most = wholeNumber('--limit', limit, { least: 1, most: 10_000_000 })
    await withStack({ log: (message) => process.stderr.write(`${message}\n`) }, async (stack) => {
      const db = connect(stack.databaseUrl, { profile: 'auditor', name: 'ledger', poolSize: 1 })
      try {
        if (workspace === undefined && reference === undefined && csv !== true) await printWallets(db)
        const lines = await listStatement(db, { workspaceId: workspace, reference, limit: most })
        if (lines.length === 0 && csv !== true) process.stderr.write('there is no such transaction\n')
        process.stdout.write(csv === true ? csvOf(lines) : lines.map(textOf).join(''))
      } finally {
        await db.destroy()
      }
    })
  },
})

async function printWallets(db: Db): Promise<void> {
  const wallets = await db.selectFrom('wallet').selectAll().orderBy('workspace_id').limit(50).execute()
  for (const wallet of wallets) {
    process.stdout.write(
      `${wallet.workspace_id.padEnd(28)}${displayUsdExact(wallet.balance_micros).padStart(18)}` +
        `   ${wallet.sequence} transactions\n`,
    )
  }
  process.stdout.write('\n')
}

function textOf(line: StatementLine): string {
  const head =
    `${line.postedAt.toISOString()}  ${line.workspaceId}  #${line.sequence}  ${line.kind} ${line.reference}` +
    `  ${displayUsdExact(line.amountMicros)}  -> balance ${displayUsdExact(line.balanceAfterMicros)}\n`
  const postings = line.postings.map((posting) => {
    const amount = displayUsdExact(posting.amountMicros).padStart(14)
    const quantity =
      posting.quantity === null ? '' : `  ${posting.quantity} ${line.kind === 'call' ? 's' : 'x'}`
    const prefix = posting.prefix === null ? '' : `, prefix ${posting.prefix}`
    return (
      `${amount}  debit ${describeAccount(posting.debitAccount).title}, ` +
      `credit ${describeAccount(posting.creditAccount).title}${quantity}${prefix}\n`
    )
  })
  return head + postings.join('')
}

function csvOf(lines: readonly StatementLine[]): string {
  const rows = lines.flatMap((line) =>
    line.postings.map((posting) =>
      [
        line.workspaceId,
        line.sequence,
        line.kind,
        line.reference,
        line.occurredAt.toISOString(),
        line.postedAt.toISOString(),
        posting.debitAccount,
        posting.creditAccount,
        formatUsd(posting.amountMicros),
        posting.quantity ?? '',
        posting.prefix ?? '',
        formatUsd(line.balanceAfterMicros),
      ].join(','),
    ),
  )
  return `${[columns, ...rows].join('\n')}\n`
}

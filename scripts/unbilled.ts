/** Calls that were admitted and never billed, whosever they are: their records did not come, or were set aside. */
import { displayUsdExact } from '../billing/money.ts'
import { listUnbilledCalls, type Hold } from '../db/hold.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { print, withBooks } from './money-in/operator-books.ts'
import { readWorkspaceId } from './money-in/options.ts'

await runScript({
  name: 'unbilled',
  usage: `usage: npm run -s unbilled -- [<workspace>] [--limit <n>] [--json]

Lists calls that were admitted, went silent and were never billed, of all workspaces or of one, the newest first. What was held
for them is free again. A call leaves the list when its record comes (npm run -s replay -- <file>) or, where one came that
could not be billed, when that is corrected (npm run -s set-aside -- --key call/<call>).

  --limit <n>  how many to list (50)
  --json       JSON lines, for a search in telephony's own records
  --help       this text`,
  options: {
    limit: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
  },
  run: async (values, [named, ...rest]) => {
    if (rest.length > 0) throw new Misuse(`unexpected "${rest.join(' ')}"`)
    const limit = wholeNumber('--limit', values.limit, { least: 1, most: 100_000 })
    const workspaceId = named === undefined ? undefined : readWorkspaceId(named)
    const { calls, total } = await withBooks({ name: 'unbilled', changes: false }, ({ db }) =>
      listUnbilledCalls(db, { workspaceId, limit }),
    )
    for (const call of calls) print(values.json ? JSON.stringify(recordOf(call)) : lineOf(call))
    if (!values.json) print(summaryOf(calls.length, total))
  },
})

function lineOf({ workspaceId, callId, startedAt, heardAt, direction, to, amountMicros }: Hold): string {
  return (
    `${startedAt.toISOString()}  ${workspaceId}  ${callId}\n` +
    `    ${direction}${to === null ? '' : ` to ${to}`}, last heard of ${heardAt.toISOString()}, ` +
    `${displayUsdExact(amountMicros)} was held`
  )
}

function recordOf(call: Hold) {
  const { workspaceId, callId, startedAt, heardAt, direction, to, from, agentId, campaignId } = call
  return { workspaceId, callId, startedAt, heardAt, direction, to, from, agentId, campaignId }
}

function summaryOf(shown: number, total: number): string {
  if (total === 0) return 'Every call that was admitted was billed or released, or is still heard of.'
  const rest = shown < total ? ` (${shown} of them shown: --limit)` : ''
  return (
    `\n${total} admitted and never billed${rest}. Replay telephony's records of them: npm run -s replay -- <file>\n` +
    `Of those that came and could not be billed, npm run -s set-aside says why.`
  )
}

/** Auto-recharge of one workspace: when its card is charged, why it was not, and changing that. */
import { displayUsdExact, micros } from '../billing/money.ts'
import { leastTopUpMicros, mostTopUpMicros } from '../billing/top-up.ts'
import { findBalance } from '../db/wallet.ts'
import { Misuse, runScript } from './command-line.ts'
import { makeChange, readChange } from './money-in/change-auto-recharge.ts'
import { readWorkspaceId } from './money-in/options.ts'
import { print, unknownWorkspace, withBooks } from './money-in/operator-books.ts'
import { printOutlook } from './money-in/outlook.ts'
import { fold } from './money-in/text.ts'

const least = displayUsdExact(micros(leastTopUpMicros))
const most = displayUsdExact(micros(mostTopUpMicros))

const usage = `usage: npm run -s auto-recharge -- <workspace> [--on | --off] [--threshold <usd>] [--top-up <usd>]
                                            [--daily-limit <n>] [--monthly-cap <usd> | none]
       npm run -s auto-recharge -- <workspace> --resume | --freeze <why> | --unfreeze <why>

Without options: the settings, the card, whether it would be charged now and if not why, what is used of the limits, the
last attempts and who changed what. With options it changes that first. Below the threshold already, switching it on
charges the card at once, and says so.

  --on                 charge the saved card whenever less than the threshold is available
  --off                charge it no more
  --threshold <usd>    strictly below this the card is charged, 0 or more
  --top-up <usd>       each recharge is exactly this much, ${least} to ${most}
  --daily-limit <n>    the most recharges within 24 hours, 1 to 20 (default 10)
  --monthly-cap <usd>  the most in a calendar month, UTC, or none (default none)
  --resume             let it go on after declines suspended it or made it wait
  --freeze <why>       no recharge and no new calls, as after a chargeback; usage is posted as ever
  --unfreeze <why>     the end of that
  --help               this text

What is not named stays as it is. Every change is in the audit log, as "operator".`

await runScript({
  name: 'auto-recharge',
  usage,
  options: {
    on: { type: 'boolean' },
    off: { type: 'boolean' },
    threshold: { type: 'string' },
    'top-up': { type: 'string' },
    'daily-limit': { type: 'string' },
    'monthly-cap': { type: 'string' },
    resume: { type: 'boolean' },
    freeze: { type: 'string' },
    unfreeze: { type: 'string' },
  },
  run: async (options, words) => {
    const [named, ...rest] = words
    if (rest.length > 0) throw new Misuse(`expected one workspace, got "${words.join(' ')}"`)
    const workspaceId = readWorkspaceId(named)
    const change = readChange(options)
    await withBooks({ name: 'auto-recharge', changes: change !== null }, async ({ db }) => {
      if ((await findBalance(db, workspaceId)) === null) throw unknownWorkspace(workspaceId)
      if (change !== null) print(`${fold(await makeChange(db, workspaceId, change))}\n`)
      await printOutlook(db, workspaceId)
    })
  },
})

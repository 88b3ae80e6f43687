/** Top-ups: every attempt to bring money in, step by step; starting one; and ending one of which nobody knows how it ended. */
import { displayUsdExact, micros } from '../billing/money.ts'
import { leastTopUpMicros, mostTopUpMicros, topUpStates } from '../billing/top-up.ts'
import { BillingError } from '../billing/billing-error.ts'
import type { TopUpId } from '../billing/ids.ts'
import type { Db } from '../db/schema.ts'
import { findTopUpNamed } from '../db/top-up-owner.ts'
import { listTopUps, type TopUp } from '../db/top-up.ts'
import { findBalance } from '../db/wallet.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { chargeCard } from './money-in/charge-card.ts'
import { printCardSetup, printCheckout, readPayer } from './money-in/checkout.ts'
import { printEventsToReview } from './money-in/event-review.ts'
import { print, unknownWorkspace, withBooks } from './money-in/operator-books.ts'
import { readTopUpAmount, readTopUpId, readWorkspaceId } from './money-in/options.ts'
import { readResolution, resolveTopUp } from './money-in/resolve-top-up.ts'
import { printTopUp, topUpHeader, topUpLine } from './money-in/top-up-page.ts'

const least = displayUsdExact(micros(leastTopUpMicros))
const most = displayUsdExact(micros(mostTopUpMicros))

const usage = `usage: npm run -s top-ups -- [<workspace> | <top-up>] [--review] [--limit <n>]
       npm run -s top-ups -- <workspace> --charge <usd>
       npm run -s top-ups -- <workspace> --checkout <usd> [--email <address>] [--save-card]
       npm run -s top-ups -- <workspace> --save-card-only [--email <address>]
       npm run -s top-ups -- --resolve <top-up> --as failed|canceled --why <why>
       npm run -s top-ups -- --events

Lists attempts to bring money in, the newest first, with what became of each and why; of one top-up every step.

  --review          only those that a person has to look at
  --limit <n>       how many to list (default 20)
  --charge <usd>    charges the saved card once and shows the steps for up to 30 s; exits 0 when the wallet is credited
  --checkout <usd>  opens a checkout at Paddle and prints its address; the wallet is credited when somebody pays there
  --save-card       with --checkout: keeps the card besides
  --save-card-only  a checkout of $0.00 that only keeps the card
  --email <address> who pays; asked for once per workspace, because Paddle knows its customers by it
  --resolve <top-up>
                    ends one that needs a review, once you know from Paddle that no money came; what Paddle captures
                    is credited all the same, because only Paddle brings money. Auto-recharge then decides again
  --as, --why       how it ended, and the reason for the audit log
  --events          Paddle's news that could not be applied, and the webhooks that were turned away
  --help            this text

Amounts are ${least} to ${most}, before tax. --charge and the checkouts need Paddle: an npm start in this checkout, or
PADDLE_API_KEY and its companions.`

const verbs = ['charge', 'checkout', 'save-card-only', 'resolve', 'events'] as const

/** Which other options a verb takes; without a verb, a list is asked for. */
const companions: Record<(typeof verbs)[number] | 'list', readonly string[]> = {
  charge: [],
  checkout: ['email', 'save-card'],
  'save-card-only': ['email'],
  resolve: ['as', 'why'],
  events: ['limit'],
  list: ['review', 'limit'],
}

await runScript({
  name: 'top-ups',
  usage,
  options: {
    review: { type: 'boolean' },
    limit: { type: 'string' },
    charge: { type: 'string' },
    checkout: { type: 'string' },
    'save-card': { type: 'boolean' },
    'save-card-only': { type: 'boolean' },
    email: { type: 'string' },
    resolve: { type: 'string' },
    as: { type: 'string' },
    why: { type: 'string' },
    events: { type: 'boolean' },
  },
  run: async (options, words) => {
    const [verb] = assertTogether(options)
    const [named, ...rest] = words
    if (rest.length > 0) throw new Misuse(`expected one workspace or top-up, got "${words.join(' ')}"`)
    const limit = wholeNumber('--limit', options.limit ?? '20', { least: 1, most: 10_000 })
    const books = { name: 'top-ups', changes: verb !== undefined && verb !== 'events' }
    const { charge, checkout, resolve } = options
    if (verb === 'charge' && charge !== undefined) {
      const [workspaceId, amount] = [readWorkspaceId(named), readTopUpAmount('--charge', charge)]
      return await withBooks(books, (open) => chargeCard(open, workspaceId, amount))
    }
    if (verb === 'checkout' && checkout !== undefined) {
      const payer = readPayer(readWorkspaceId(named), options.email)
      const amountMicros = readTopUpAmount('--checkout', checkout)
      const saveCard = options['save-card'] === true
      return await withBooks(books, (open) => printCheckout(open, payer, { amountMicros, saveCard }))
    }
    if (verb === 'save-card-only') {
      const payer = readPayer(readWorkspaceId(named), options.email)
      return await withBooks(books, (open) => printCardSetup(open, payer))
    }
    if (verb === 'resolve' && resolve !== undefined) {
      if (named !== undefined) throw new Misuse(`--resolve names the top-up: what is "${named}"?`)
      const resolution = readResolution(options)
      const topUpId = readTopUpId(resolve)
      return await withBooks(books, async (open) =>
        resolveTopUp(open, await getTopUp(open.db, topUpId), resolution),
      )
    }
    if (verb === 'events') {
      if (named !== undefined) throw new Misuse(`--events is about all workspaces: what is "${named}"?`)
      return await withBooks(books, ({ db }) => printEventsToReview(db, limit))
    }
    if (named?.startsWith('topup_') === true) {
      const topUpId = readTopUpId(named)
      return await withBooks(books, async ({ db }) => printTopUp(db, await getTopUp(db, topUpId)))
    }
    const filter = { named, review: options.review === true, limit }
    return await withBooks(books, ({ db }) => list(db, filter))
  },
})

/** Shape: the verb, or none. Throws: Misuse for options that do not belong together. */
function assertTogether(options: Record<string, unknown>): (typeof verbs)[number][] {
  const given = Object.keys(options).filter((name) => options[name] !== undefined)
  const asked = verbs.filter((verb) => given.includes(verb))
  if (asked.length > 1) throw new Misuse(`--${asked.join(' and --')}: one at a time`)
  const [verb] = asked
  const stray = given.find((name) => name !== verb && !companions[verb ?? 'list'].includes(name))
  if (stray === undefined) return asked
  const owners = verbs.filter((each) => companions[each].includes(stray)).map((each) => `--${each}`)
  throw new Misuse(
    owners.length === 0
      ? `--${stray} does not go with --${verb}`
      : `--${stray} goes with ${owners.join(' or ')}`,
  )
}

async function list(
  db: Db,
  { named, review, limit }: { named: string | undefined; review: boolean; limit: number },
): Promise<void> {
  const workspaceId = named === undefined ? undefined : readWorkspaceId(named)
  if (workspaceId !== undefined && (await findBalance(db, workspaceId)) === null) {
    throw unknownWorkspace(workspaceId)
  }
  const states = review ? (['needs_review'] as const) : topUpStates
  const topUps = await listTopUps(db, { workspaceId, states, limit })
  if (topUps.length > 0) print(topUpHeader)
  for (const topUp of topUps) print(topUpLine(topUp, { withWorkspace: workspaceId === undefined }))
  if (topUps.length === 0) print(review ? 'No top-up needs a review.' : 'No top-ups yet.')
  if (review && topUps.length > 0) {
    print(`\nLook each up at Paddle. What it captured is credited by itself; when no money came:`)
    print(`  npm run -s top-ups -- --resolve ${topUps[0]?.topUpId} --as failed --why "not at Paddle"`)
  }
  if (topUps.length === limit) print(`\nThe newest ${limit}; --limit shows more.`)
}

async function getTopUp(db: Db, topUpId: TopUpId): Promise<TopUp> {
  const topUp = await findTopUpNamed(db, topUpId)
  if (topUp !== null) return topUp
  throw new BillingError('unknown_top_up', `there is no top-up ${topUpId}: npm run -s top-ups lists them`)
}

/** Prices: the rate cards there are, a new one, and what was agreed with one workspace. */
import { readFile } from 'node:fs/promises'

import { idPatterns, workspaceId as workspaceIdSchema } from '../billing/ids.ts'
import { connect } from '../db/connect.ts'
import { agreeWorkspaceRate, listRateCards, publishRateCard } from '../db/rate-book.ts'
import type { Db } from '../db/schema.ts'
import { Misuse, runScript } from './command-line.ts'
import { withStack } from './stack.ts'

const agreedMeters = ['voice', 'recording', 'inbound', 'telephony', 'message', 'number_rental'] as const

await runScript({
  name: 'rates',
  usage: `usage: npm run -s rates -- [list]
       npm run -s rates -- publish <file> --id <name> --from <instant>
       npm run -s rates -- agree <workspace> <meter> <rate> [--prefix <digits>] [--from <instant>]

list     (default) the rate cards, the newest first, and what was agreed with workspaces
publish  adds a rate card, in the JSON that "quote --rates" reads. Usage that began at <instant> or later is priced with it,
         until a newer card begins. A card can never be changed: publish a newer one instead. Try it with quote first.
agree    gives one workspace a rate of its own, from now or a later <instant> on. <meter> is one of
         ${agreedMeters.join(', ')}; <rate> is a RATE as in a card's JSON, or for message and
         number_rental (a month of one number) a decimal string such as "0.008"; telephony needs --prefix.

  --id <name>        what the card is called; it is written on every transaction that it priced
  --from <instant>   such as 2026-12-01T00:00:00Z
  --prefix <digits>  of an E.164 number, without the plus
  --help             this text

Running workers use a new price with their next posting.`,
  options: { id: { type: 'string' }, from: { type: 'string' }, prefix: { type: 'string' } },
  run: async ({ id, from, prefix }, [verb = 'list', ...words]) => {
    const work = workOf(verb, words, { id, from, prefix })
    await withStack({ log: (message) => process.stderr.write(`${message}\n`) }, async (stack) => {
      const db = connect(stack.databaseUrl, { profile: 'operator', name: 'rates', poolSize: 1 })
      try {
        process.stdout.write(await work(db))
      } finally {
        await db.destroy()
      }
    })
  },
})

type RatesOptions = { id?: string | undefined; from?: string | undefined; prefix?: string | undefined }

/** What the words ask for, checked before any server is started. */
function workOf(verb: string, words: readonly string[], options: RatesOptions): (db: Db) => Promise<string> {
  if (verb === 'list' && words.length === 0) return list
  if (verb === 'publish') return publish(words, options)
  if (verb === 'agree') return agree(words, options)
  throw new Misuse('expected list, publish or agree')
}

async function list(db: Db): Promise<string> {
  const { cards, agreed } = await listRateCards(db)
  return [
    ...cards.map(({ rateCardId, effectiveFrom, prefixes }) => {
      return `${effectiveFrom.toISOString()}  card ${rateCardId}, ${prefixes} telephony prefixes\n`
    }),
    ...agreed.map(({ workspaceId, effectiveFrom, meter, prefix }) => {
      return `${effectiveFrom.toISOString()}  ${workspaceId}: ${meter}${prefix === '' ? '' : ` ${prefix}`} agreed\n`
    }),
  ].join('')
}

function publish(
  [file, ...rest]: readonly string[],
  { id, from }: RatesOptions,
): (db: Db) => Promise<string> {
  if (file === undefined || rest.length > 0) throw new Misuse('publish: name one file')
  if (id === undefined || from === undefined) throw new Misuse('publish: --id and --from are needed')
  const effectiveFrom = instantOf(from)
  return async (db) => {
    const json: unknown = JSON.parse(await readFile(file, 'utf8'))
    await db
      .transaction()
      .execute((trx) => publishRateCard(trx, { rateCardId: id, effectiveFrom, card: json }))
    return `published ${id}: it prices usage that began at ${effectiveFrom.toISOString()} or later\n`
  }
}

function agree(
  [workspace, meter, rate, ...rest]: readonly string[],
  { from, prefix }: RatesOptions,
): (db: Db) => Promise<string> {
  const known = agreedMeters.find((each) => each === meter)
  if (workspace === undefined || rate === undefined || known === undefined || rest.length > 0) {
    throw new Misuse(`agree: expected <workspace> <${agreedMeters.join('|')}> <rate>`)
  }
  if (!idPatterns.workspace.test(workspace))
    throw new Misuse('agree: expected a workspace id such as ws_acme')
  if ((known === 'telephony') !== (prefix !== undefined)) {
    throw new Misuse('agree: --prefix goes with telephony, and only with it')
  }
  const effectiveFrom = from === undefined ? null : instantOf(from)
  return async (db) => {
    const workspaceId = workspaceIdSchema.parse(workspace)
    const parsed: unknown = known === 'message' || known === 'number_rental' ? rate : JSON.parse(rate)
    const agreedFrom = await db.transaction().execute((trx) =>
      agreeWorkspaceRate(trx, {
        workspaceId,
        meter: known,
        prefix: prefix ?? null,
        rate: parsed,
        effectiveFrom,
      }),
    )
    return `agreed: ${workspace} has this ${known} rate for usage that begins at ${agreedFrom.toISOString()} or later\n`
  }
}

function instantOf(text: string): Date {
  const instant = new Date(text)
  if (Number.isNaN(instant.getTime()))
    throw new Misuse('--from: expected an instant such as 2026-12-01T00:00:00Z')
  return instant
}

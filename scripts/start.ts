/** Everything on one machine that had nothing installed: servers, workers and a demo campaign. */
import { styleText } from 'node:util'

import type { WorkspaceId } from '../billing/ids.ts'
import { createApiKey } from '../db/api-key.ts'
import { paths } from '../dashboard/places.ts'
import { connect } from '../db/connect.ts'
import { createSignInLink, readSessionClock } from '../db/dashboard-session.ts'
import type { Db } from '../db/schema.ts'
import { verifyLedger } from '../db/verify.ts'
import { runScript, wholeNumber } from './command-line.ts'
import { runDemoCampaign } from './demo/run-campaign.ts'
import { createScreen, type Screen } from './demo/screen.ts'
import { startServices, type Services } from './start-services.ts'
import { withStack, type Stack } from './stack.ts'

const anHourMs = 3_600_000

await runScript({
  name: 'start',
  usage: `usage: npm start -- [--once] [--records <n>] [--rate <n>]

Boots Postgres and Redis (data in .data/), a local Paddle simulator, the API, the workers and a demo workspace with its
$10 and a saved card, replays a campaign's call records through the queue, and shows the balance fall call by call until
it crosses the threshold and the card is charged. Then it keeps serving until Ctrl-C.
DATABASE_URL and REDIS_URL, when set, take the place of the embedded servers; the database must then be migrated.
PADDLE_API_KEY and its companions take the place of the simulator; at the real Paddle no card is saved by itself.

  --once         end with 0 after the campaign's summary
  --records <n>  call records in the campaign (default 120)
  --rate <n>     call records a second (default 12)
  --help         this text`,
  options: {
    once: { type: 'boolean' },
    records: { type: 'string', default: '120' },
    rate: { type: 'string', default: '12' },
  },
  run: async ({ once, records, rate }) => {
    const campaign = {
      records: wholeNumber('--records', records, { least: 1, most: 1_000_000 }),
      callsPerSecond: wholeNumber('--rate', rate, { least: 1, most: 100_000 }),
    }
    const screen = createScreen(process.stdout)
    screen.print(`${styleText('bold', 'voice-wallet')}: a prepaid wallet for voice platforms\n`)
    await withStack({ log: screen.print, alone: true }, async (stack, interrupted) => {
      const services = await startServices(stack, screen.print)
      const db = connect(stack.databaseUrl, { profile: 'operator', name: 'start', poolSize: 2 })
      try {
        printPlaces(screen, stack, services)
        const { paddle } = services
        const workspaceId = await runDemoCampaign(
          { db, stack, paddle, screen, signal: interrupted },
          campaign,
        )
        if (!interrupted.aborted) await printVerification(screen, stack)
        if (once !== true && !interrupted.aborted) {
          await printDoor(db, screen, { workspaceId, apiUrl: services.apiUrl })
          await serve(screen, workspaceId, interrupted)
        }
        screen.end()
      } finally {
        await services.stop()
        await db.destroy()
      }
    })
  },
})

function printPlaces(screen: Screen, stack: Stack, { paddle, apiUrl }: Services): void {
  screen.print(`  Postgres  ${new URL(stack.databaseUrl).host}`)
  screen.print(`  Redis     ${new URL(stack.redisUrl).host}`)
  const { simulatorUrl } = paddle
  screen.print(`  Paddle    ${simulatorUrl === null ? 'the real one' : `a simulator, ${simulatorUrl}`}`)
  screen.print(`  API       ${apiUrl}, its log is .data/api.log`)
  screen.print(`  workers   their log is .data/workers.log`)
  screen.print(`  on        ${stack.description}\n`)
}

async function printVerification(screen: Screen, stack: Stack): Promise<void> {
  const db = connect(stack.databaseUrl, { profile: 'auditor', name: 'verify', poolSize: 1 })
  try {
    const { transactions, breaks } = await verifyLedger(db)
    screen.print(
      breaks.length === 0
        ? `  ledger             ${styleText('green', 'verified')}: ${transactions} transactions recomputed, every hash and balance fits\n`
        : `  ledger             ${styleText('red', 'BROKEN')}: run npm run -s verify\n`,
    )
  } finally {
    await db.destroy()
  }
}

/** A link that opens the wallet page, and a key for whoever wants to try the API; both are shown once. */
async function printDoor(
  db: Db,
  screen: Screen,
  { workspaceId, apiUrl }: { workspaceId: WorkspaceId; apiUrl: string },
): Promise<void> {
  const { secret, token } = await db.transaction().execute(async (trx) => {
    const key = { workspaceId, scope: 'admin', label: 'npm start', createdBy: 'npm start' } as const
    const { keyId, secret } = await createApiKey(trx, key)
    const now = await readSessionClock(trx)
    return { secret, token: await createSignInLink(trx, { workspaceId, keyId }, { now, forMs: anHourMs }) }
  })
  screen.print(`The wallet page, by a link that works once, within an hour:
  ${styleText('bold', `${pageUrl(apiUrl)}${paths.link}?token=${token}`)}
The HTTP API, to read and try in a browser: ${styleText('bold', `${apiUrl}/docs`)}. A key of ${workspaceId}, also to sign in with:
  curl -H 'Authorization: Bearer ${secret}' ${apiUrl}/v1/wallet\n`)
}

/** Browsers keep a secure cookie without HTTPS for this machine alone, and not all of them for its number. */
function pageUrl(apiUrl: string): string {
  return apiUrl.replace('//127.0.0.1:', '//localhost:')
}

async function serve(screen: Screen, workspaceId: string, interrupted: AbortSignal): Promise<void> {
  screen.print(`Serving until Ctrl-C. In another terminal:
  npm run -s campaign -- --records 20000 --out calls.jsonl    write call records
  npm run -s replay -- calls.jsonl                            send them through the queue; twice posts nothing more
  npm run -s ledger                                           read the books
  npm run -s verify                                           recompute every balance and hash
  npm run -s set-aside                                        what could not be posted, and why
  npm run -s top-ups                                          every attempt to bring money in, and why it ended so
  npm run -s top-ups -- ${`${workspaceId} --charge 25`.padEnd(36)}  charge the saved card once, and watch
  npm run -s auto-recharge -- ${workspaceId.padEnd(30)}  when the card is charged, and why it was not
  npm run -s reconcile                                        compare every credit with Paddle's captures`)
  await new Promise<void>((resolve) => {
    // The servers and workers do not keep this process alive by themselves.
    const alive = setInterval(() => undefined, 60_000)
    interrupted.addEventListener('abort', () => {
      clearInterval(alive)
      resolve()
    })
  })
}

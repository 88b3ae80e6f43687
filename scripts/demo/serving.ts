/** What a demo of `npm start` says before and after: where everything is, whether the ledger is right, and how to go on. */
import { relative } from 'node:path'
import { styleText } from 'node:util'

import type { WorkspaceId } from '../../billing/ids.ts'
import { createApiKey } from '../../db/api-key.ts'
import { paths } from '../../dashboard/places.ts'
import { connect } from '../../db/connect.ts'
import { createSignInLink, readSessionClock } from '../../db/dashboard-session.ts'
import type { Db } from '../../db/schema.ts'
import { verifyLedger } from '../../db/verify.ts'
import type { Stack } from '../stack.ts'
import type { Services } from '../start-services.ts'
import type { Screen } from './screen.ts'

export function printPlaces(screen: Screen, stack: Stack, { paddle, apiUrl }: Services): void {
  screen.print(`  Postgres  ${new URL(stack.databaseUrl).host}`)
  screen.print(`  Redis     ${new URL(stack.redisUrl).host}`)
  const { simulatorUrl } = paddle
  screen.print(`  Paddle    ${simulatorUrl === null ? 'the real one' : `a simulator, ${simulatorUrl}`}`)
  const logs = relative(process.cwd(), stack.logDirectory)
  screen.print(`  API       ${apiUrl}, its log is ${logs}/api.log`)
  screen.print(`  workers   their log is ${logs}/workers.log`)
  screen.print(`  on        ${stack.description}\n`)
}

export async function printVerification(screen: Screen, stack: Stack): Promise<void> {
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
export async function printDoor(
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

const anHourMs = 3_600_000

/** Browsers keep a secure cookie without HTTPS for this machine alone, and not all of them for its number. */
function pageUrl(apiUrl: string): string {
  return apiUrl.replace('//127.0.0.1:', '//localhost:')
}

/** Until somebody ends it. */
export async function serve(screen: Screen, workspaceId: string, interrupted: AbortSignal): Promise<void> {
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

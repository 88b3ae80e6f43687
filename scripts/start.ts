/** Everything on one machine that had nothing installed: servers, workers, and one of two demos. */
import { styleText } from 'node:util'

import { connect } from '../db/connect.ts'
import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { runDemoCampaign, type Campaign } from './demo/run-campaign.ts'
import { printRentSummary } from './demo/rent-summary.ts'
import { isInTime, moveEverybodysClock, startDemoClock } from './demo/rent-clock.ts'
import { runRents } from './demo/run-rents.ts'
import { createScreen, type Screen } from './demo/screen.ts'
import { printDoor, printPlaces, printVerification, serve } from './demo/serving.ts'
import type { BusinessClock } from '../runtime/clock.ts'
import { startServices, type Services } from './start-services.ts'
import { withStack, type Stack } from './stack.ts'

await runScript({
  name: 'start',
  usage: `usage: npm start -- [--once] [--records <n>] [--rate <n>]
       npm start -- --clock fast [--once] [--days <n>]

Boots Postgres and Redis (data in .data/), a local Paddle simulator, the API, the workers and a demo workspace with its
$10 and a saved card, replays a campaign's call records through the queue, and shows the balance fall call by call until
it crosses the threshold and the card is charged. Then it keeps serving until Ctrl-C.
DATABASE_URL and REDIS_URL, when set, take the place of the embedded servers; the database must then be migrated.
PADDLE_API_KEY and its companions take the place of the simulator; at the real Paddle no card is saved by itself.

With --clock fast all of them run by a clock that shows a day each second, from the end of January 2027 on, and the demo
is a year of rented numbers in six minutes: months paid in advance, recharges, a card that is declined for some months,
numbers that are suspended, reinstated, released. On servers of its own (data in .data/fresh/, thrown away at each
start), so that no date to come is ever mixed with anything.

  --once         end with 0 after the summary
  --records <n>  call records in the campaign (default 120)
  --rate <n>     call records a second (default 12)
  --clock fast   the year of rents instead of the campaign
  --days <n>     how many days of it (default 365); a day takes a second
  --help         this text`,
  options: {
    once: { type: 'boolean' },
    records: { type: 'string' },
    rate: { type: 'string' },
    clock: { type: 'string' },
    days: { type: 'string' },
  },
  run: async ({ once = false, records, rate, clock, days }, words) => {
    if (words.length > 0) throw new Misuse(`unexpected "${words.join(' ')}"`)
    if (clock !== undefined) {
      if (clock !== 'fast') throw new Misuse(`--clock: expected fast, got "${clock}"`)
      if (records !== undefined || rate !== undefined)
        throw new Misuse('--records and --rate are of the campaign, which --clock fast does not run')
      return await startRents({ once, days: wholeNumber('--days', days ?? '365', { least: 1, most: 3_650 }) })
    }
    if (days !== undefined) throw new Misuse('--days goes with --clock fast')
    return await startCampaign({
      once,
      campaign: {
        records: wholeNumber('--records', records ?? '120', { least: 1, most: 1_000_000 }),
        callsPerSecond: wholeNumber('--rate', rate ?? '12', { least: 1, most: 100_000 }),
      },
    })
  },
})

async function startCampaign({ once, campaign }: { once: boolean; campaign: Campaign }): Promise<number> {
  const screen = openScreen()
  return await withStack({ log: screen.print, alone: true }, async (stack, interrupted) => {
    const services = await startServices(stack, screen.print)
    const db = connect(stack.databaseUrl, { profile: 'operator', name: 'start', poolSize: 2 })
    try {
      printPlaces(screen, stack, services)
      const { paddle } = services
      const workspaceId = await runDemoCampaign({ db, stack, paddle, screen, signal: interrupted }, campaign)
      if (!interrupted.aborted) await printVerification(screen, stack)
      if (!once && !interrupted.aborted) {
        await printDoor(db, screen, { workspaceId, apiUrl: services.apiUrl })
        await serve(screen, workspaceId, interrupted)
      }
      screen.end()
      return 0
    } finally {
      await services.stop()
      await db.destroy()
    }
  })
}

async function startRents({ once, days }: { once: boolean; days: number }): Promise<number> {
  // A line of it each month where the output is no terminal.
  const screen = openScreen({ liveEveryMs: 30_000 })
  return await withStack({ log: screen.print, fresh: true }, async (stack, interrupted) => {
    const { clock, services } = await startServicesByClock(stack, screen)
    const db = connect(stack.databaseUrl, {
      profile: 'operator',
      name: 'start',
      poolSize: 2,
      clock: clock.setting,
    })
    try {
      await moveEverybodysClock(db)
      printPlaces(screen, stack, services)
      const { paddle, apiUrl } = services
      const year = await runRents({ db, stack, paddle, apiUrl, clock, screen, signal: interrupted }, { days })
      if (year === null) return interrupted.aborted ? 0 : 1
      await printRentSummary(screen, year, paddle)
      await printVerification(screen, stack)
      if (!once) {
        const { workspaceId } = year
        await printDoor(db, screen, { workspaceId, apiUrl })
        screen.print('The clock goes on, a day each second.')
        await serve(screen, workspaceId, interrupted)
      }
      screen.end()
      return 0
    } finally {
      await services.stop()
      await db.destroy()
    }
  })
}

/** The clock comes to the day of the renting when everything runs; where that takes far longer, once more with more time. */
async function startServicesByClock(
  stack: Stack,
  screen: Screen,
): Promise<{ clock: BusinessClock; services: Services }> {
  for (let inSeconds = 12; ; inSeconds *= 2) {
    const clock = startDemoClock(inSeconds)
    const services = await startServices(stack, screen.print, clock)
    if (isInTime(clock)) return { clock, services }
    await services.stop()
  }
}

function openScreen(options?: Parameters<typeof createScreen>[1]): Screen {
  const screen = createScreen(process.stdout, options)
  screen.print(`${styleText('bold', 'voice-wallet')}: a prepaid wallet for voice platforms\n`)
  return screen
}

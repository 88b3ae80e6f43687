// The demo of rents as anybody starts it: 70 days in as many seconds, and then the rows say that the calendar was kept.
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { connect } from '../../db/connect.ts'
import { findRunningServers } from '../../scripts/embedded/embedded-servers.ts'
import { dataDirectory } from '../../scripts/stack.ts'
import { findBreaks } from '../support/books.ts'
import { exitCodeOf, runScript, startScript } from '../support/run-script.ts'
import { until } from '../support/until.ts'

test(
  'numbers that are rented on 31 January are paid on 28 February and 31 March, each month once, and the card pays for them',
  { timeout: 300_000 },
  async () => {
    const demo = startScript('start', ['--clock', 'fast', '--days', '70'])
    let output = ''
    demo.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    demo.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    const ended = exitCodeOf(demo)
    try {
      await until('it serves', () => demo.exitCode !== null || output.includes('Serving until Ctrl-C'), {
        withinMs: 240_000,
        everyMs: 250,
      })
      expect(output).toContain('Serving until Ctrl-C')
      const servers = await findRunningServers(join(dataDirectory, 'fresh'))
      const databaseUrl = servers?.databaseUrl ?? ''

      const { rents, topUps } = await readBooks(databaseUrl)
      expect(rents).toEqual(
        ['+12125550142', '+14155550101', '+442079460958'].flatMap((number) =>
          ['2027-01-31', '2027-02-28', '2027-03-31'].map((day) => ({ number, day, amount: 5_000_000n })),
        ),
      )
      expect(topUps.length).toBeGreaterThanOrEqual(2)
      expect(new Set(topUps)).toEqual(new Set(['succeeded']))
      expect(await findBreaks(databaseUrl)).toEqual([])
      // Scripts in a second terminal find it, and its Paddle, by the same clock.
      const reconciled = await runScript('reconcile', ['--days', '3650'])
      expect(reconciled.stdout).toContain('Paddle and the ledger fit.')
      expect(reconciled.code).toBe(0)
    } finally {
      demo.kill('SIGTERM')
    }

    expect(await ended).toBe(0)
    expect(output).toMatch(/28 Feb 2027 {2}renewed until 31 Mar 2027 +\+14155550101 +-\$5\.00 +\$\d+\.\d\d$/m)
    expect(output).toMatch(/^ {2}\+14155550101 +3 months +\$15\.00 +active, paid until 30 Apr 2027$/m)
    const [, captured, credited] = /captured (\$\d+\.00), credited (\$\d+\.00)/.exec(output) ?? []
    expect(captured).toBe(credited)
    expect(output).toContain('verified')
  },
)

/** What was billed in the 70 days, by number and by the day on which the month began; and how every recharge ended. */
async function readBooks(databaseUrl: string) {
  const db = connect(databaseUrl, { profile: 'auditor', name: 'proof', poolSize: 1 })
  try {
    const rents = await db
      .selectFrom('ledger_transaction')
      .select(['reference', 'occurred_at', 'amount_micros'])
      .where('kind', '=', 'number_rental')
      .where('occurred_at', '<', new Date('2027-04-11T09:00:00Z'))
      .orderBy('reference')
      .orderBy('occurred_at')
      .execute()
    const topUps = await db.selectFrom('top_up').select('state').execute()
    return {
      rents: rents.map((rent) => ({
        number: rent.reference,
        day: rent.occurred_at.toISOString().slice(0, 10),
        amount: 0n - rent.amount_micros,
      })),
      topUps: topUps.map(({ state }) => state),
    }
  } finally {
    await db.destroy()
  }
}

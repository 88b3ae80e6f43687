// The first thing that anybody runs: the demo shows money moving, and ends without leaving anything behind.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { describe, expect } from 'vitest'

import { isAlive } from '../../scripts/embedded/process-table.ts'
import { countTransactions, findBreaks } from '../support/books.ts'
import { test } from '../support/fixtures.ts'
import { exitCodeOf, runScript, startScript } from '../support/run-script.ts'
import { until } from '../support/until.ts'

const execute = promisify(execFile)

describe('start', () => {
  test('--once replays a campaign through the queue, shows the balance fall, sums up, and exits with 0', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { stdout, code } = await runScript(
      'start',
      ['--once', '--records', '20', '--rate', '200'],
      ownPlace,
    )

    expect(code).toBe(0)
    expect(stdout).toContain('Workspace ws_demo is open with a signup grant of $10.00.')
    const figures = Object.fromEntries(
      [...stdout.matchAll(/^ {2}(\S+(?: \S+)*?) {2,}(\$?[\d.]+)/gm)].map(([, name = '', figure = '']) => [
        name,
        figure,
      ]),
    )
    const billed = Number(figures['calls billed'])
    expect(figures['records reported']).toBe('20')
    const repeats = Number(/records reported +20\D+(\d+)/.exec(stdout)?.[1])
    expect(billed + Number(figures['not answered']) + repeats).toBe(20)
    expect(billed).toBeGreaterThan(0)
    expect(figures['set aside']).toBe('0')
    expect(stdout).toContain('verified')
    // What it shows is what the books say.
    expect(await countTransactions(db, ['call'])).toBe(billed)
    const wallet = await db.selectFrom('wallet').selectAll().executeTakeFirstOrThrow()
    expect(wallet.workspace_id).toBe('ws_demo')
    const [dollars = '', decimals = ''] = (figures['balance'] ?? '').slice(1).split('.')
    expect(wallet.balance_micros).toBe(BigInt(dollars + decimals.padEnd(6, '0')))
    expect((figures['spent'] ?? '').startsWith('$')).toBe(true)
    // Each call on a line of its own, with the balance after it.
    const balances = [...stdout.matchAll(/^ {2}[\d:]{8} +call_\w+ .*\$(\d+\.\d\d)$/gm)].map((match) =>
      Number(match[1]),
    )
    expect(balances).toHaveLength(billed)
    expect(balances).toEqual(balances.toSorted((one, other) => other - one))
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test.for(['SIGTERM', 'SIGINT'] as const)(
    'serves until %s, and then nothing of it is left running',
    async (signal, { ownPlace }) => {
      const starting = startScript('start', ['--records', '5', '--rate', '200'], ownPlace)
      let output = ''
      starting.stdout?.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      const ended = exitCodeOf(starting)
      await until('it serves', () => output.includes('Serving until Ctrl-C'), { withinMs: 25_000 })
      const children = await childrenOf(starting.pid ?? 0)

      starting.kill(signal)
      const code = await ended

      expect(code).toBe(0)
      expect(children).not.toEqual([])
      expect(await Promise.all(children.map((pid) => isAlive(pid)))).toEqual(children.map(() => false))
    },
  )

  test('killed with kill -9 takes its workers with it', async ({ ownPlace }) => {
    const starting = startScript('start', ['--records', '5', '--rate', '200'], ownPlace)
    let output = ''
    starting.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    const ended = exitCodeOf(starting)
    await until('it serves', () => output.includes('Serving until Ctrl-C'), { withinMs: 25_000 })
    const children = await childrenOf(starting.pid ?? 0)

    starting.kill('SIGKILL')
    await ended

    expect(children).not.toEqual([])
    await until('its workers are gone', async () => {
      const alive = await Promise.all(children.map((pid) => isAlive(pid)))
      return !alive.includes(true)
    })
  })
})

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await execute('ps', ['-A', '-o', 'pid=,ppid='])
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([child = 0, parent]) => (parent === pid ? [child] : []))
}

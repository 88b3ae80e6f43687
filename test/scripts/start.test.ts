// The first thing that anybody runs: the demo shows money going out and coming in, and ends without leaving anything behind.
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { promisify } from 'node:util'

import { describe, expect, onTestFinished } from 'vitest'

import { parseUsd, type Micros } from '../../billing/money.ts'
import { isAlive } from '../../scripts/embedded/process-table.ts'
import { filesOf } from '../../scripts/paddle-place.ts'
import { countTransactions, findBreaks } from '../support/books.ts'
import { runCommand } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { exitCodeOf, runScript, startScript } from '../support/run-script.ts'
import { until } from '../support/until.ts'
import { givenPaddle } from './money-in-scene.ts'

const execute = promisify(execFile)

describe('start', () => {
  test('--once replays a campaign, shows the balance fall and the card being charged, sums up, and exits with 0', async ({
    ownPlace,
    ownDb: db,
  }) => {
    await givenPaddle({ webhooks: 'deliver' })

    // Each day has another campaign, and every one of so many calls costs more than the $5 from the grant to the threshold.
    const { stdout, code } = await runScript(
      'start',
      ['--once', '--records', '90', '--rate', '100'],
      ownPlace,
    )

    expect(code).toBe(0)
    expect(stdout).toContain('Workspace ws_demo is open with a signup grant of $10.00.')
    expect(stdout).toContain('Its card, visa ending in 4242, is saved')
    const figures = figuresIn(stdout)
    const billed = Number(figures['calls billed'])
    expect(figures['records reported']).toBe('90')
    const repeats = Number(/records reported +90\D+(\d+)/.exec(stdout)?.[1])
    expect(billed + Number(figures['not answered']) + repeats).toBe(90)
    expect(billed).toBeGreaterThan(0)
    expect(figures['set aside']).toBe('0')
    expect(stdout).toContain('verified')
    // What it shows is what the books say.
    expect(await countTransactions(db, ['call'])).toBe(billed)
    const wallet = await db.selectFrom('wallet').selectAll().executeTakeFirstOrThrow()
    expect(wallet.workspace_id).toBe('ws_demo')
    const [granted, recharged, spent, balance] = ['granted', 'recharged', 'spent', 'balance'].map((name) =>
      dollars(figures[name]),
    )
    expect(wallet.balance_micros).toBe(balance)
    expect((granted ?? 0n) + (recharged ?? 0n) - (spent ?? 0n)).toBe(balance)
    // The threshold is crossed once or more, and each time the card brings $20.00.
    const charges = stdout.match(
      /^ {2}[\d:]{8} +balance -?\$\d+\.\d\d is below \$5\.00: charging visa 4242 with \$20\.00$/gm,
    )
    const credits = stdout.match(
      /^ {2}[\d:]{8} +credited from visa 4242 +after \d+\.\d\d s +\+\$20\.00 +-?\$\d+\.\d\d$/gm,
    )
    expect(charges?.length).toBeGreaterThan(0)
    expect(credits?.length).toBe(charges?.length)
    expect(recharged).toBe(20_000_000n * BigInt(charges?.length ?? 0))
    const total = (charges?.length ?? 0) * 20
    expect(stdout).toContain(`captured $${total}.00, credited $${total}.00`)
    // Each call on a line of its own, with the balance after it, and what it caused right below it.
    const lines = [...stdout.matchAll(/^ {2}[\d:]{8} +(call_\w+|balance|credited).*?(?:(-?\$\d+\.\d\d))?$/gm)]
    const calls = lines.filter(([, what]) => what?.startsWith('call_') === true)
    expect(calls).toHaveLength(billed)
    const crossing = lines.findIndex(([, what]) => what === 'balance')
    // Calls that had gathered are booked at once, and the card is decided on after the last of them.
    expect(dollars(lines[0]?.[2])).toBeGreaterThanOrEqual(5_000_000n)
    expect(dollars(lines[crossing - 1]?.[2])).toBeLessThan(5_000_000n)
    expect(await findBreaks(ownPlace.databaseUrl)).toEqual([])
  })

  test('started a second time, it finds the cards of the first and opens another workspace', async ({
    ownPlace,
    ownDb: db,
  }) => {
    const { placePath, stateFile } = filesOf({ databaseUrl: ownPlace.databaseUrl, ours: false })
    onTestFinished(() => rm(stateFile, { force: true }))
    const args = ['--once', '--records', '30', '--rate', '200']

    const first = await runScript('start', args, ownPlace)
    const second = await runScript('start', args, ownPlace)

    expect([first.code, second.code]).toEqual([0, 0])
    expect(second.stdout).toContain('Workspace ws_demo_2 is open')
    expect(second.stdout).toContain('Its card, visa ending in 4242, is saved')
    const workspaces = await db
      .selectFrom('saved_card')
      .select('subscription_id')
      .where('state', '=', 'active')
      .execute()
    expect(workspaces).toHaveLength(2)
    const kept = await readFile(stateFile, 'utf8')
    for (const { subscription_id: subscriptionId } of workspaces) expect(kept).toContain(subscriptionId)
    await expect(readFile(placePath)).rejects.toThrow('ENOENT')
  })

  test('is found by scripts in a second terminal, its simulator too', async ({ ownPlace }) => {
    const { stateFile } = filesOf({ databaseUrl: ownPlace.databaseUrl, ours: false })
    onTestFinished(() => rm(stateFile, { force: true }))
    const serving = await startServing(ownPlace)

    const charged = await runCommand('top-ups', ['ws_demo', '--charge', '25'], ownPlace)
    const reconciled = await runCommand('reconcile', [], ownPlace)
    serving.process.kill('SIGTERM')
    const code = await serving.ended
    const alone = await runCommand('reconcile', [], ownPlace)

    expect([charged.code, reconciled.code, code, alone.code]).toEqual([0, 0, 0, 1])
    expect(charged.stdout).toContain('$25.00 from visa 4242 for ws_demo')
    expect(reconciled.stdout).toContain('Paddle and the ledger fit.')
    expect(alone.stderr).toContain('there is no Paddle to talk to')
  })

  test('says where the log is when the workers log an error', async ({ ownPlace }) => {
    const paddle = await givenPaddle({ webhooks: 'deliver' })
    const serving = await startServing(ownPlace)

    await paddle.control.createTransaction({
      amount: '5000',
      customData: { workspace_id: 'ws_demo' },
      priceCustomData: { workspace_id: 'ws_demo', top_up_id: 'topup_stranger', source: 'checkout' },
    })
    const line = await until(
      'the screen says so',
      () => /^the workers logged an error.*$/m.exec(serving.output())?.[0],
    )
    serving.process.kill('SIGTERM')

    expect(line).toBe('the workers logged an error, "a Paddle event needs a review": see .data/workers.log')
    expect(await serving.ended).toBe(0)
  })

  test.for(['SIGTERM', 'SIGINT'] as const)(
    'serves until %s, and then nothing of it is left running',
    async (signal, { ownPlace }) => {
      await givenPaddle({ webhooks: 'deliver' })
      const serving = await startServing(ownPlace)
      const children = await childrenOf(serving.process.pid ?? 0)

      serving.process.kill(signal)
      const code = await serving.ended

      expect(code).toBe(0)
      expect(children).not.toEqual([])
      expect(await Promise.all(children.map((pid) => isAlive(pid)))).toEqual(children.map(() => false))
    },
  )

  test('killed with kill -9 takes its workers with it', async ({ ownPlace }) => {
    await givenPaddle({ webhooks: 'deliver' })
    const serving = await startServing(ownPlace)
    const children = await childrenOf(serving.process.pid ?? 0)

    serving.process.kill('SIGKILL')
    await serving.ended

    expect(children).not.toEqual([])
    await until('its workers are gone', async () => {
      const alive = await Promise.all(children.map((pid) => isAlive(pid)))
      return !alive.includes(true)
    })
  })
})

test.for([
  [['--clock', 'slow'], '--clock: expected fast, got "slow"'],
  [['--clock', 'fast', '--records', '5'], '--records and --rate are of the campaign'],
  [['--days', '5'], '--days goes with --clock fast'],
  [['--clock', 'fast', '--days', '0'], '--days: expected a whole number'],
  [['--clock', 'fast'], 'this runs on servers of its own, and a simulator: unset DATABASE_URL and REDIS_URL'],
] as const)('start %j is misuse, and nothing is started', async ([args, why], { place }) => {
  const { code, stderr } = await runCommand('start', args, place)

  expect(code).toBe(2)
  expect(stderr).toContain(why)
})

/** A short demo that has come to where it serves. */
async function startServing(place: Parameters<typeof runScript>[2]) {
  const starting = startScript('start', ['--records', '5', '--rate', '200'], place)
  let output = ''
  starting.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const ended = exitCodeOf(starting)
  await until('it serves', () => output.includes('Serving until Ctrl-C'))
  return { process: starting, output: () => output, ended }
}

/** The figures of the summary, by their names. */
function figuresIn(stdout: string): Partial<Record<string, string>> {
  return Object.fromEntries(
    [...stdout.matchAll(/^ {2}(\S+(?: \S+)*?) {2,}(-?\$?[\d.]+)/gm)].map(([, name = '', figure = '']) => [
      name,
      figure,
    ]),
  )
}

function dollars(text: string | undefined): Micros {
  return parseUsd((text ?? '').replace('$', ''))
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await execute('ps', ['-A', '-o', 'pid=,ppid='])
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([child = 0, parent]) => (parent === pid ? [child] : []))
}

// Replaying a file through the queue, as a real process: what was in it is posted, and posted once.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect } from 'vitest'

import { countTransactions, countUsage, findBreaks } from '../support/books.ts'
import { runCommand } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { aCall, aMessage, newWorkspaceId } from '../support/given.ts'
import { runScript } from '../support/run-script.ts'
import { startWorkerProcess } from '../support/worker-process.ts'

const test = base.extend<{ directory: string; worker: unknown }>({
  directory: [
    async ({ place: _place }, use) => {
      const directory = await mkdtemp(join(tmpdir(), 'replay-'))
      await use(directory)
      await rm(directory, { recursive: true, force: true })
    },
    { scope: 'file' },
  ],
  /** Workers that are there already, so that a replay does not have to start its own. */
  worker: [
    async ({ place }, use) => {
      const worker = await startWorkerProcess(place)
      await use(worker)
      await worker.kill()
    },
    { scope: 'file' },
  ],
})

test('posts a file of JSON lines with workers of its own, and posts nothing when it is replayed', async ({
  ownPlace: place,
  ownDb: db,
  directory,
}) => {
  const workspaceId = newWorkspaceId()
  const calls = [
    ...Array.from({ length: 150 }, () => aCall(workspaceId)),
    ...Array.from({ length: 40 }, () => aCall(workspaceId, { durationSeconds: 0 })),
    aCall(workspaceId, { to: '+99955550100' }),
  ]
  const message = { kind: 'message', ...aMessage(workspaceId) }
  const records = [...calls, ...calls.slice(0, 9), message]
  const file = join(directory, 'calls.jsonl')
  await writeFile(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''))

  const first = await runScript('replay', [file, '--open-workspaces'], place)
  const again = await runCommand('replay', [file, '--through', 'postgres'], place)

  expect(first).toMatchObject({ code: 0 })
  expect(factsIn(first.stdout)).toMatchObject({
    records: '201',
    distinct: '192',
    posted: '151',
    free: '40',
    'set aside': '1',
    charged: '$27.01',
  })
  expect(again).toMatchObject({ code: 0 })
  expect(factsIn(again.stdout)).toMatchObject({
    posted: '0',
    free: '40',
    'set aside': '1',
    charged: '$0.00',
  })
  expect(await countUsage(db)).toEqual({ posted: 151, free: 40, set_aside: 1 })
  expect(await countTransactions(db, ['call', 'message'])).toBe(151)
  expect(await findBreaks(place.databaseUrl)).toEqual([])
})

describe('with workers that are there already', () => {
  test('posts the records of a CSV file, names the lines it refuses, and exits with 1', async ({
    place,
    db,
    directory,
    worker: _worker,
  }) => {
    const workspaceId = newWorkspaceId()
    const file = join(directory, 'calls.csv')
    const started = new Date(Date.now() - 3_600_000).toISOString()
    await writeFile(
      file,
      [
        '\uFEFFcallId,workspaceId,startedAt,durationSeconds,to,recorded,agentId',
        `call_csv1,${workspaceId},${started},61,+14155550100,true,"Ada, the first"`,
        `call_csv2,${workspaceId},${started},sixty,+14155550100,true,`,
        `call_csv3,${workspaceId},${started},60.5,+442079460000,false,`,
        '',
        `call csv4,${workspaceId},${started},60,+14155550100,yes,`,
      ].join('\r\n'),
    )

    const { stdout, stderr, code } = await runCommand('replay', [file, '--open-workspaces'], place)

    expect(code).toBe(1)
    expect(stderr).toMatch(/^line 3 was refused: durationSeconds: /m)
    expect(stderr).toMatch(/^line 6 was refused: callId: .*recorded: /m)
    expect(factsIn(stdout)).toMatchObject({ records: '2', posted: '2' })
    expect(stdout).toContain('2 refused')
    expect(await countUsage(db, workspaceId)).toEqual({ posted: 2 })
  })

  test('says how many contradictions it met, and leaves what was posted first', async ({
    place,
    db,
    directory,
    worker: _worker,
  }) => {
    const workspaceId = newWorkspaceId()
    const call = aCall(workspaceId)
    const file = join(directory, 'contradiction.jsonl')
    await writeFile(
      file,
      [call, { ...call, durationSeconds: 600 }].map((each) => JSON.stringify(each)).join('\n'),
    )

    const { stdout, code } = await runCommand(
      'replay',
      [file, '--open-workspaces', '--in-flight', '1'],
      place,
    )

    expect(code).toBe(0)
    expect(stdout).toContain('1 contradiction')
    expect(await countUsage(db, workspaceId)).toEqual({ posted: 1, set_aside: 1 })
  })

  test('takes a file that has columns of its own', async ({ place, db, directory, worker: _worker }) => {
    const workspaceId = newWorkspaceId()
    const file = join(directory, 'columns.jsonl')
    const records = [aCall(workspaceId), aCall(workspaceId, { notes: 'call back', cost: 3 })]
    await writeFile(file, records.map((record) => JSON.stringify(record)).join('\n'))

    const { code } = await runCommand('replay', [file, '--open-workspaces'], place)

    expect(code).toBe(0)
    expect(await countUsage(db, workspaceId)).toEqual({ posted: 2 })
  })

  test('without anything that it could replay is a misuse', async ({ place, directory }) => {
    const file = join(directory, 'nothing.jsonl')
    await writeFile(file, '\n{"callId": 7}\nnot JSON\n[]\n')

    const { stderr, code } = await runCommand('replay', [file], place)

    expect(code).toBe(2)
    expect(stderr).toMatch(/line 2 was refused.*\nline 3 was refused: not a JSON object\nline 4 was refused/)
  })
})

/** The summary: a name, and the figure that follows. */
function factsIn(stdout: string): Record<string, string> {
  return Object.fromEntries(
    [...stdout.matchAll(/^ {2}(\S+(?: \S+)*?) +(\$?[\d.]+)/gm)].map(([, name = '', figure = '']) => [
      name,
      figure,
    ]),
  )
}

// Every script explains itself, and says what is wrong with a call that it does not understand, before it starts anything.
import { describe, expect, test } from 'vitest'

import { runCommand } from '../support/command.ts'
import { runScript } from '../support/run-script.ts'

const scripts = [
  'start',
  'migrate',
  'replay',
  'campaign',
  'quote',
  'rates',
  'verify',
  'ledger',
  'set-aside',
  'unbilled',
  'health',
  'top-ups',
  'reconcile',
  'auto-recharge',
  'schedules',
]

describe.concurrent('a script', () => {
  test.for(scripts)('%s --help prints how it is used, and exits with 0', async (name, { expect }) => {
    const { stdout, stderr, code } = await runScript(name, ['--help'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^usage: (npm start|npm run -s ${name})`))
    expect(stdout).toContain('--help')
  })

  test.for(scripts)(
    '%s with an option that it does not know exits with 2 and a hint',
    async (name, { expect }) => {
      const { stdout, stderr, code } = await runCommand(name, ['--loudly'])

      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toContain("'--loudly'")
      expect(stderr).toContain('--help')
    },
  )

  const misuses = [
    ['start', '--records', '0'],
    ['replay'],
    ['replay', 'no-such-file.jsonl'],
    ['replay', 'package.json', '--through', 'post'],
    ['campaign', '--records=-5'],
    ['campaign', '--ended-at', 'yesterday'],
    ['set-aside', 'requeue'],
    ['unbilled', 'everything'],
    ['unbilled', '--limit', '0'],
    ['set-aside', '--reason', 'dislike'],
    ['rates', 'publish', 'card.json'],
    ['verify', 'everything'],
    ['mutants', '07'],
    ['chaos', '--events', '200', '--faults', '30'],
  ]

  test.for(misuses.map((words) => ({ call: words.join(' '), words })))(
    '$call exits with 2 and a hint',
    async ({ words: [name = '', ...args] }, { expect }) => {
      const { stdout, stderr, code } = await runCommand(name, args)

      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(new RegExp(`^${name}: .+\n(?:.*\n)*Try: .*--help`))
    },
  )
})

test('a script that fails says why in one line, and exits with 1', async () => {
  const nowhere = {
    databaseUrl: 'postgres://wallet:secret@127.0.0.1:1/wallet',
    redisUrl: 'redis://127.0.0.1:1',
    queuePrefix: '{nowhere}',
  }

  const { stderr, code } = await runCommand('verify', [], nowhere)

  expect(code).toBe(1)
  expect(stderr).toMatch(/^verify: .*ECONNREFUSED.*\n$/)
  expect(stderr).not.toContain('secret')
})

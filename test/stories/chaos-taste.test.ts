// A taste of the chaos run: the same processes, servers, load and oracle, with a few faults that are over soon.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { runScript } from '../support/run-script.ts'

const shortFaults = [
  'worker-killed',
  'redis-wiped',
  'connections-cut',
  'answers-lost',
  'deliveries-muddled',
  'clock-ahead',
]

test('1,500 events come to what they must while six things break', { timeout: 240_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'chaos-taste-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const report = join(directory, 'report.json')
  const picture = join(directory, 'picture.svg')

  const { stdout, stderr, code } = await runScript('chaos', [
    ...['--events', '1500', '--faults', '6', '--seed', '1', '--only', shortFaults.join(',')],
    ...['--report', report, '--picture', picture],
  ])

  expect(`${stdout}${stderr}`).toContain('every promise kept')
  expect(code).toBe(0)
  const { verdict, faults, checks } = JSON.parse(await readFile(report, 'utf8'))
  expect(verdict).toBe('kept')
  expect(faults).toHaveLength(6)
  expect(checks.filter((check: { violations: string }) => check.violations !== '0')).toEqual([])
  expect(await readFile(picture, 'utf8')).toMatch(/^<svg /)
  const left = await readdir(tmpdir())
  const pid = /voice-wallet-chaos-(\d+)/.exec(`${stdout}${stderr}`)?.[1] ?? 'none'
  expect(left.filter((name) => name.startsWith(`voice-wallet-chaos-${pid}-`))).toEqual([])
})

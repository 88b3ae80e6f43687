// A taste of `npm run chaos`: its processes, servers, load and oracle, with a few faults that are over soon.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
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

  const options = { events: '1500', faults: '6', seed: '1', only: shortFaults.join(','), report, picture }
  const { stdout, stderr, code } = await runScript(
    'chaos',
    Object.entries(options).map(([name, value]) => `--${name}=${value}`),
  )

  expect(`${stdout}${stderr}`).toContain('every promise kept')
  expect(code).toBe(0)
  const { verdict, faults, checks } = JSON.parse(await readFile(report, 'utf8'))
  expect(verdict).toBe('kept')
  expect(faults).toHaveLength(6)
  expect(checks.filter((check: { violations: string }) => check.violations !== '0')).toEqual([])
  expect(await readFile(picture, 'utf8')).toMatch(/^<svg /)
})

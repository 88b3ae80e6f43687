// The bench as it is used: a small run of the real process. What it measures is for nobody to assert here.
import { expect, test } from 'vitest'

import { runBench } from '../support/run-bench.ts'

test('runs only what it is asked for, as a table with the goals beside the ratios', async () => {
  const { stdout, code } = await runBench(['--quick', '--only', 'noop,batch_many'])

  expect(code).toBe(0)
  expect(stdout).toMatch(/no-op worker +[\d,]+/)
  expect(stdout).toMatch(/batch_vs_noop +\d+\.\d\d +goal >= 0\.70 +(met|MISSED)/)
  expect(stdout).not.toContain('batch_vs_single_many')
})

test('says what it does not understand', async () => {
  const { stdout, stderr, code } = await runBench(['--only', 'nothing'])

  expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
  expect(stderr).toContain('there is no scenario nothing; there are single_many')
})

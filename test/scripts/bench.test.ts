// The bench as it is used: a small run of the real process. What it measures is for nobody to assert here.
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { expect, inject, test } from 'vitest'

import { query } from '../support/embedded-servers.ts'

const script = fileURLToPath(new URL('../../scripts/bench.ts', import.meta.url))

test('measures every ratio in one run, prints one JSON object, and leaves no database behind', async () => {
  const { stdout, code } = await bench(['--quick', '--json'])

  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    ratios: {
      batch_vs_noop: expect.any(Number),
      batch_hot_vs_noop: expect.any(Number),
      batch_vs_single_many: expect.any(Number),
      batch_vs_single_hot: expect.any(Number),
      hot_vs_many: expect.any(Number),
      usage_batch_vs_noop: expect.any(Number),
      bad_events_vs_none: expect.any(Number),
      admission_vs_single: expect.any(Number),
      admission_hot_vs_single: expect.any(Number),
    },
    latency_ms: {
      batch_at_500: { p50: expect.any(Number), p99: expect.any(Number) },
      wallet_read: { p50: expect.any(Number), p99: expect.any(Number) },
    },
    events_per_s: { noop: expect.any(Number), batch_many: expect.any(Number) },
  })
  const left = await query(
    inject('adminDatabaseUrl'),
    `select datname from pg_database where datname like 'voice_wallet_bench_%'`,
  )
  expect(left).toEqual([])
}, 60_000)

test('runs only what it is asked for, as a table with the goals beside the ratios', async () => {
  const { stdout, code } = await bench(['--quick', '--only', 'noop,batch_many'])

  expect(code).toBe(0)
  expect(stdout).toMatch(/no-op worker +[\d,]+/)
  expect(stdout).toMatch(/batch_vs_noop +\d+\.\d\d +goal >= 0\.70 +(met|MISSED)/)
  expect(stdout).not.toContain('batch_vs_single_many')
})

test('says what it does not understand', async () => {
  const { stdout, stderr, code } = await bench(['--only', 'nothing'])

  expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
  expect(stderr).toContain('there is no scenario nothing; there are single_many')
})

async function bench(args: string[]): Promise<{ stdout: string; stderr: string; code: number | null }> {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, DATABASE_URL: inject('adminDatabaseUrl'), REDIS_URL: inject('redisUrl') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', resolve)
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { stdout, stderr, code: await ended }
}

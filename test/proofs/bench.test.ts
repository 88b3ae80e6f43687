// The whole bench, small: every scenario is measured, and nothing of it is left behind.
import { expect, inject, test } from 'vitest'

import { query } from '../support/embedded-servers.ts'
import { runBench } from '../support/run-bench.ts'

test('measures every ratio in one run, prints one JSON object, and leaves no database behind', async () => {
  const { stdout, code } = await runBench(['--quick', '--json'])

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
})

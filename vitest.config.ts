import { availableParallelism } from 'node:os'

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What takes longer has a command of its own: npm run proof.
    exclude: process.argv.some((word) => word.includes('proofs')) ? [] : ['test/proofs/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // A file that starts processes of ours keeps a core busy. More than four would crowd the one Postgres that all share.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    // Of tests in one file that say they may: they wait for processes most of the time.
    maxConcurrency: 3,
    // Files follow each other in one process: importing a file of ours does nothing, and reading all of them anew, with pg,
    // Kysely, BullMQ, Fastify, zod and Paddle's SDK, cost more than most files' tests do.
    isolate: false,
    // Hanging ends here, on however busy a machine; how fast something is, a test says itself.
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
})

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What takes longer has a command of its own: npm run proof.
    exclude: process.argv.some((word) => word.includes('proofs')) ? [] : ['test/proofs/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
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

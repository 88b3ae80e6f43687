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
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})

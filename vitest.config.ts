// How `npm test` runs: one real Kafka and one real Postgres for the whole run (global-setup), test files in processes of their own.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Files wait a good part of their time, for a killed worker's session to end or a job to finish: with three at once two cores are
    // nine tenths busy (eight of the longest files in 210 s). With more, files only take each other's time.
    maxWorkers: 3,
    globalSetup: ['test/harness/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  },
})

// How `npm test` runs: one real Kafka and one real Postgres for the whole run (global-setup), test files in processes of their own.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two files at once keep two cores busy; more would only make the broker's answers late and timeouts likely.
    maxWorkers: 2,
    globalSetup: ['test/harness/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  },
})

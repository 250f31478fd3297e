// How `npm test` runs: one real Kafka and one real Postgres for the whole run (global-setup), test files in processes of their own.
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Take half a minute or more, much of it waiting for a killed process to be missed: none of them may begin last, and run alone. */
const LONG =
  /\/(service\/(crash|resume|pools|schedules|outages|controllers|concurrency|drain|lifecycle|kafka-results)|web\/dashboard|embedded\/embedded|\w+\/(s3-)?(contract|crash))\.test\.ts$/

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two files at once keep two cores busy; a third gains a tenth of the time and makes the brokers' answers late.
    maxWorkers: 2,
    sequence: { sequencer: LongFilesFirst },
    globalSetup: ['test/harness/global-setup.ts'],
    // For what never comes; a machine that has other things to do may take five times as long as an idle one.
    testTimeout: 180_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  },
})

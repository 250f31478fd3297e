// What a test file has to undo when it ends. `afterAll` itself, called within a `beforeAll`, is accepted by vitest and never run.
import { afterAll } from 'vitest'

const tasks: (() => unknown)[] = []

/** Runs when the test file ends, the last one first. May be called from anywhere. */
export function whenFileEnds(task: () => unknown): void {
  tasks.push(task)
}

afterAll(async () => {
  for (const task of tasks.reverse()) await task()
}, 120_000)

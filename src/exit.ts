// How a process ends, other than by a signal.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Ends the process, with `code` or `process.exitCode`. Before Node ends it waits for what V8 compiles on other threads, and one that finds
 * memory short there waits for the main thread to collect garbage, which then waits for it: for ever (nodejs/node#54918). Array
 * buffers count as memory, so here it is often short. After a collection it is not.
 */
export function exit(code?: number): never {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  if (code !== undefined) process.exitCode = code
  process.exit()
}

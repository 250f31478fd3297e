// A process ends when it is to, whatever V8 does on other threads meanwhile.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ROLE_FLAGS } from '../src/role-flags.ts'

/** Ends while functions are being compiled and memory is short. With Node's own exit (24.21) this waits for ever, each time. */
const SHORT_OF_MEMORY = `
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { exit } from ${JSON.stringify(join(import.meta.dirname, '../src/exit.ts'))}

const lines = Array.from({ length: 900 }, (_, i) => 's = (s + ' + i + ' + b[' + (i % 7) + ']) | 0; if (s > ' + (100000 + i) + ') s = (s - ' + i + ') | 0;')
const functions = Array.from({ length: 8 }, (_, k) => new Function('a', 'b', 'let s = a | 0;' + lines.join('') + 'return (s + ' + k + ') | 0'))
const numbers = [1, 2, 3, 4, 5, 6, 7]
const run = (times) => {
  for (let i = 0; i < times; i++) for (const f of functions) f(i, numbers)
}
run(20)
// Collections set the limit by what they leave.
setFlagsFromString('--expose-gc')
for (let i = 0; i < 2; i++) runInNewContext('gc')()
run(700)
const held = new ArrayBuffer(150 * 2 ** 20)
exit(3)
`

test('a process ends although a compilation waits for a collection', async () => {
  const child = spawn(process.execPath, [...ROLE_FLAGS, '--input-type=module', '--eval', SHORT_OF_MEMORY], {
    stdio: 'inherit',
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  expect(await once(child, 'exit')).toEqual([3, null])
})

// The parser keeps V8's optimizing compiler away from itself, and from nothing else.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const repo = join(import.meta.dirname, '../../..')

/** Calls an export of the walk through decision trees until V8 has optimized it, or for five seconds. */
const PROGRAM = `
import { readFileSync } from 'node:fs'
const { parse } = await import(${JSON.stringify(join(repo, 'connectors/postgres/parser.ts'))})
parse('SELECT a FROM b')
const memory = new WebAssembly.Memory({ initial: 16 })
const wasm = new WebAssembly.Module(readFileSync(${JSON.stringify(join(repo, 'src/model/trees/walk.wasm'))}))
const { transpose } = new WebAssembly.Instance(wasm, { env: { memory } }).exports
const until = performance.now() + 5000
while (!%IsTurboFanFunction(transpose) && performance.now() < until) {
  for (let i = 0; i < 1000; i++) transpose(64, 65536, 256, 8, 10)
  await new Promise((resolve) => setImmediate(resolve))
  parse('SELECT a FROM b')
}
console.log(%IsTurboFanFunction(transpose))
`

test('what else is WebAssembly in the process is optimized', async () => {
  const flags = ['--allow-natives-syntax', '--input-type=module', '--eval', PROGRAM]
  const { stdout } = await promisify(execFile)(process.execPath, flags)
  expect(stdout.trim()).toBe('true')
})

// The README's table of settings is the one that the program prints.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

test('the table of settings is up to date', () => {
  const table = execFileSync(process.execPath, [join(root, 'src/main.ts'), 'settings'], { encoding: 'utf8' })
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(table.trim())
})

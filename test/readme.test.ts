// What the documentation copies from the code is what the code says.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { schemaFiles } from '../docs/schemas/record.ts'

const root = join(import.meta.dirname, '..')

test('the table of settings is up to date', () => {
  const table = execFileSync(process.execPath, [join(root, 'src/main.ts'), 'settings'], { encoding: 'utf8' })
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(table.trim())
})

test.each([...schemaFiles()])('%s is up to date (npm run schemas)', (file, text) => {
  expect(readFileSync(join(root, file), 'utf8')).toBe(text)
})

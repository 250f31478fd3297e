// The image runs a role as `npm start` does.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROLE_FLAGS } from '../src/role-flags.ts'

test('the image has the memory flags of npm start', () => {
  const dockerfile = readFileSync(join(import.meta.dirname, '../deploy/Dockerfile'), 'utf8')
  const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]')
  expect(entrypoint).toEqual(['node', '--disable-warning=TimeoutNegativeWarning', ...ROLE_FLAGS, 'src/main.ts'])
})

// The images run a role as `npm start` does.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROLE_FLAGS } from '../src/role-flags.ts'

const ROOT = join(import.meta.dirname, '..')

test.each(['Dockerfile', 'Dockerfile.gpu'])('%s has the memory flags of npm start', (file) => {
  const dockerfile = readFileSync(join(ROOT, 'deploy', file), 'utf8')
  const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]')
  expect(entrypoint).toEqual(['node', ...ROLE_FLAGS, 'src/main.ts'])
})

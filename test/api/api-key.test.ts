// API keys: what is printed for a new one is what is read again, and what is wrong is said without repeating a key.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hashOf, newApiKey, parseApiKeys } from '../../src/api/access/api-key.ts'
import { apiKeyCommand } from '../../src/api/access/api-key-command.ts'

const HASH = `sha256:${'0'.repeat(64)}`
const VALID = { tenant: 'acme', scopes: ['read'], hash: HASH }

test('the command prints a key once, and an entry that lets it in', () => {
  const main = join(import.meta.dirname, '../../src/main.ts')
  const args = ['api-key', 'acme', '--scopes', 'read, admin', '--name', 'ci', '--expires', '2027-01-31']
  const [key = '', entry = ''] = execFileSync(process.execPath, [main, ...args], { stdio: 'pipe' })
    .toString()
    .split('\n')
  expect(key).toMatch(/^sl_[0-9a-f]{64}$/)
  expect(entry).not.toContain(key)
  expect(parseApiKeys(`[${entry}]`)).toEqual({
    keys: [
      { tenantId: 'acme', scopes: ['read', 'admin'], hash: hashOf(key), expiresAt: Date.parse('2027-01-31T00:00:00Z') },
    ],
  })
})

test('no two keys are the same', () => {
  const keys = Array.from({ length: 100 }, () => newApiKey({ tenant: 'acme', scopes: ['read'] }).key)
  expect(new Set(keys).size).toBe(100)
})

test.each([
  [[], 'expected one tenant, got 0'],
  [['a', 'b'], 'expected one tenant, got 2'],
  [['acme', '--scopes', 'write'], 'scopes: expected an array of read, submit, admin'],
  [['acme', '--expires', 'soon'], 'expires: expected a time as 2027-01-31T00:00:00Z'],
  [['acme', '--scope', 'read'], "Unknown option '--scope'"],
])('the command refuses %j', (args, problem) => {
  const made = apiKeyCommand(args)
  expect(made).toMatchObject({ problems: [expect.stringContaining(problem), expect.stringMatching(/^usage: /)] })
})

test.each([
  ['{"s3cret":"acme"}', /^expected a JSON array/],
  ['s3cret', /^expected a JSON array/],
  ['["s3cret"]', /^entry 0: expected a JSON array/],
  [JSON.stringify([VALID, { ...VALID, tenant: '' }]), /^entry 1: tenant: /],
  [JSON.stringify([{ ...VALID, scopes: [] }]), /^entry 0: scopes: /],
  [JSON.stringify([{ ...VALID, scopes: ['all'] }]), /^entry 0: scopes: /],
  [JSON.stringify([{ ...VALID, hash: 's3cret' }]), /^entry 0: hash: expected sha256: /],
  [JSON.stringify([{ ...VALID, key: 's3cret' }]), /^entry 0: expected no other fields/],
  [JSON.stringify([{ ...VALID, expires: '2027-13-01' }]), /^entry 0: expires: /],
  [JSON.stringify([{ ...VALID, expires: '31.1.2027' }]), /^entry 0: expires: /],
  [JSON.stringify([VALID, { ...VALID, tenant: 'globex' }]), /^entry 1: its hash is that of an entry before it/],
])('%s is refused, and what came is not repeated', (text, problem) => {
  const parsed = parseApiKeys(text)
  expect(parsed).toEqual({ problems: [expect.stringMatching(problem)] })
  expect(JSON.stringify(parsed)).not.toContain('s3cret')
})

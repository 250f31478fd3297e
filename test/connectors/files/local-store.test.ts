// Two processes at work in one directory of the local disk, as when two controllers discard the same attempt.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ConnectorError } from '../../../connectors/connector.ts'
import { openLocalStore } from '../../../connectors/files/local-store.ts'

test('a directory that another fills while it is being removed: whoever fails is told that it will pass, or that it is gone', async () => {
  const root = await mkdtemp(join(tmpdir(), 'scoreline-store-'))
  const [store, other] = [openLocalStore(root), openLocalStore(root)]
  const failures: unknown[] = []
  const failed = (error: unknown) => void failures.push(error)
  for (let round = 0; round < 150; round++) {
    await store.createDirectory('staging')
    for (let file = 0; file < 5; file++) await store.put(`staging/${file}`, Buffer.from('x'))
    const puts = Array.from({ length: 5 }, (_, file) =>
      other.put(`staging/late-${file}`, Buffer.from('x')).catch(failed),
    )
    await Promise.all([store.removeDirectory('staging').catch(failed), ...puts])
    await store.removeDirectory('staging')
  }
  await rm(root, { recursive: true, force: true })
  expect(failures.length).toBeGreaterThan(0)
  for (const error of failures) {
    expect(error).toBeInstanceOf(ConnectorError)
    expect(error).toMatchObject(
      (error as ConnectorError).retriable ? { code: 'store_unavailable' } : { code: 'not_prepared' },
    )
  }
})

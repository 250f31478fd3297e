// Imports go one way: topics <- connectors <- src <- (embedded, web, bench, examples, test). A cycle between the folders, or a Kafka client
// outside the two places that wrap it, is found here rather than in a review.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/** What each folder may import from the repository; folders that are not listed may import anything. */
const mayImport: Record<string, readonly string[]> = {
  topics: ['topics'],
  connectors: ['connectors', 'topics'],
  src: ['src', 'connectors', 'topics'],
}

/** `src all` starts the local servers: the one way back, and a dynamic import, so that no cluster process ever loads them. */
const allowed: ReadonlyArray<{ file: RegExp; target: RegExp; dynamic: true }> = [
  { file: /^src\/(main|all|supervisor)(\/.*)?\.ts$/, target: /^embedded\//, dynamic: true },
]

const kafkaClients = ['kafkajs']
const kafkaFolders = ['src/kafka/', 'connectors/kafka/']

interface Import {
  readonly file: string
  readonly specifier: string
  readonly dynamic: boolean
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found: Import[] = []
  for (const match of text.matchAll(/^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm)) {
    found.push({ file, specifier: match[1] ?? '', dynamic: false })
  }
  for (const match of text.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm)) {
    found.push({ file, specifier: match[1] ?? '', dynamic: false })
  }
  for (const match of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    found.push({ file, specifier: match[1] ?? '', dynamic: true })
  }
  return found
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|tsx|mts)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('node_modules'))
}

const folders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
  .map((entry) => entry.name)
const imports = folders.flatMap(filesUnder).flatMap(importsOf)

test('imports between folders go one way', () => {
  const wrong = imports.filter(({ file, specifier, dynamic }) => {
    const permitted = mayImport[file.split('/')[0] ?? '']
    if (permitted === undefined || !specifier.startsWith('.')) return false
    const target = relative(root, resolve(root, dirname(file), specifier))
    if (permitted.includes(target.split('/')[0] ?? '')) return false
    return !allowed.some((rule) => dynamic && rule.file.test(file) && rule.target.test(target))
  })
  expect(wrong).toEqual([])
})

test('the Kafka client is imported only where it is wrapped', () => {
  const wrong = imports.filter(
    ({ file, specifier }) =>
      kafkaClients.includes(specifier) &&
      /^(topics|connectors|src|embedded)\//.test(file) &&
      !kafkaFolders.some((folder) => file.startsWith(folder)),
  )
  expect(wrong).toEqual([])
})

test('more than types of the Kafka client comes from the file that replaces parts of it', () => {
  const wrong = folders
    .filter((folder) => ['src', 'connectors'].includes(folder))
    .flatMap(filesUnder)
    .filter((file) => /^import (?!type ).*from 'kafkajs'/m.test(readFileSync(join(root, file), 'utf8')))
  expect(wrong).toEqual([])
})

test('the API’s own process cannot run a model: it does not load the runtime', () => {
  const reached = new Set<string>()
  const reach = (file: string): void => {
    if (reached.has(file)) return
    reached.add(file)
    for (const { specifier } of imports.filter((each) => each.file === file && each.specifier.startsWith('.')))
      reach(relative(root, resolve(root, dirname(file), specifier)))
  }
  reach('src/api/api.ts')
  expect(reached.size).toBeGreaterThan(100)
  expect([...reached].filter((file) => file === 'src/model/session.ts')).toEqual([])
})

test('relative imports carry their extension', () => {
  const wrong = imports.filter(
    ({ specifier }) => specifier.startsWith('.') && !/\.(ts|tsx|js|json|css|html)$/.test(specifier),
  )
  expect(wrong).toEqual([])
})

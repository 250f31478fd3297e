// `npm run build`: makes web/dist. The npm scripts call it with --if-stale, which takes some milliseconds when neither the
// sources nor the dependencies have changed since.
import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const web = import.meta.dirname
const dist = join(web, 'dist')
/** Says what dist was made of. */
const STAMP = '.made-of'

/** Builds the dashboard unless it is there as its sources say; whether it did. */
export async function buildIfStale(): Promise<boolean> {
  if ((await readFile(join(dist, STAMP), 'utf8').catch(() => '')) === (await fingerprint())) return false
  await build()
  return true
}

async function build(): Promise<void> {
  const stamp = await fingerprint()
  const { build } = await import('vite')
  // Beside the one that an API may be serving, and then in its place.
  const folder = await mkdtemp(join(web, 'dist.'))
  try {
    await build({ configFile: join(web, 'vite.config.ts'), build: { outDir: folder, emptyOutDir: true } })
    await compressAll(folder)
    await writeFile(join(folder, STAMP), stamp)
    // A temporary folder is its maker's own; the API of an image runs as somebody else.
    await chmod(folder, 0o755)
    await replaceDist(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function replaceDist(folder: string): Promise<void> {
  await rm(dist, { recursive: true, force: true })
  await rename(folder, dist).catch((error: NodeJS.ErrnoException) => {
    // Another process was faster: what it made is as good.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

/** SHA-256 over the sources and the locked dependencies. */
async function fingerprint(): Promise<string> {
  const entries = await readdir(web, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !relative(web, file).startsWith('dist'))
    .sort()
  const hash = createHash('sha256')
  for (const file of [...files, join(web, '../package-lock.json')])
    hash.update(relative(web, file)).update(await readFile(file))
  return hash.digest('hex')
}

/** Each file beside itself as .br and .gz, so that no request has to compress anything. */
async function compressAll(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  await Promise.all(
    files.map(async (file) => {
      const bytes = await readFile(file)
      const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }
      await writeFile(`${file}.gz`, await promisify(gzip)(bytes))
      await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes, quality))
    }),
  )
}

if (import.meta.main) {
  if (!process.argv.includes('--if-stale')) await build()
  else if (await buildIfStale()) console.log('• built the dashboard')
}

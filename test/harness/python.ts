// Readers and clients that the project did not write, in Python: packages from PyPI, fetched once into .cache/.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { cachedFolder } from '../../embedded/cache.ts'

const run = promisify(execFile)

/** Pinned: what a test reads with must not change by itself. */
const PACKAGES = ['pyarrow==21.0.0', 'confluent-kafka[avro]==2.11.1']

/**
 * Runs a Python program with those packages and gives what it printed as JSON. `args` are its `sys.argv[1:]`. Throws with
 * its error output when it fails.
 */
export async function python<T>(program: string, args: readonly string[] = []): Promise<T> {
  const { stdout } = await run('python3', ['-c', program, ...args], {
    env: { ...process.env, PYTHONPATH: await packages() },
    maxBuffer: 64 << 20,
  })
  return JSON.parse(stdout) as T
}

function packages(): Promise<string> {
  const digest = createHash('sha256').update(PACKAGES.join(' ')).digest('hex').slice(0, 12)
  return cachedFolder(`python-${digest}`, async (folder) => {
    await run('python3', ['-m', 'pip', 'install', '--quiet', '--no-input', '--target', folder, ...PACKAGES])
  })
}

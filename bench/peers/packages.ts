// What the peers need, fetched once into .cache/: their packages from PyPI, the models with the packages that make them
// (apart, for they want other versions), Postgres' JDBC driver from Maven.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cachedFolder } from '../../embedded/cache.ts'

const run = promisify(execFile)

const JDBC = { artifact: 'org.postgresql:postgresql', version: '42.7.7' }

/** Directory for PYTHONPATH. Takes minutes the first time: Ray, Spark and Daft are 1.5 GB. */
export function peerPackages(): Promise<string> {
  return packages('peers', 'requirements.txt')
}

/** Directory with the models of the workloads and their data, as models.py has it. */
export async function models(): Promise<string> {
  const digest = await digestOf('models.py', 'models-requirements.txt', '../../examples/churn/train.py')
  return cachedFolder(`bench-models-${digest}`, async (folder) => {
    const PYTHONPATH = await packages('models', 'models-requirements.txt')
    console.log('Making the models (once) ...')
    await run('python3', [join(import.meta.dirname, 'models.py'), folder], {
      env: { ...process.env, PYTHONPATH, PYTHONDONTWRITEBYTECODE: '1' },
    })
  })
}

/** Path of the driver's jar. */
export async function jdbcDriver(): Promise<string> {
  const { artifact, version } = JDBC
  const folder = await cachedFolder(`jdbc-${version}`, async (partial) => {
    const goal = [`-Dartifact=${artifact}:${version}`, `-DoutputDirectory=${partial}`]
    await run('mvn', ['-q', '-B', 'dependency:copy', ...goal])
  })
  return join(folder, `postgresql-${version}.jar`)
}

async function packages(name: string, requirements: string): Promise<string> {
  const file = join(import.meta.dirname, requirements)
  return cachedFolder(`bench-${name}-${await digestOf(requirements)}`, async (folder) => {
    console.log(`Fetching the packages of ${requirements} with pip (once) ...`)
    await run('python3', ['-m', 'pip', 'install', '--quiet', '--no-input', '--target', folder, '-r', file])
  })
}

async function digestOf(...files: string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const file of files) hash.update(await readFile(join(import.meta.dirname, file)))
  return hash.digest('hex').slice(0, 12)
}

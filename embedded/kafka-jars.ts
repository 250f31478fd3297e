// Apache Kafka's jars: fetched once by Maven into .cache/ and used again by every later start. Also finds the java to run them.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cachedFolder } from './cache.ts'
import { EmbeddedServerError } from './server.ts'

const run = promisify(execFile)
const POM = join(import.meta.dirname, 'kafka-pom.xml')
const JAVA_MINIMUM = 17

const REMEDY =
  `Install Java ${JAVA_MINIMUM} or later and Maven (Debian: apt install openjdk-17-jre-headless maven; macOS: brew install openjdk maven), ` +
  'or set KAFKA_BROKERS to a Kafka that is already running, or use `docker compose up`.'

/** The folder with Kafka's jars. Takes some seconds the first time (about 55 MB are fetched), nothing after that. */
export async function kafkaJars(log: (line: string) => void = () => {}): Promise<string> {
  const version = /<kafka\.version>(.+?)</.exec(await readFile(POM, 'utf8'))?.[1]
  if (version === undefined) throw new EmbeddedServerError('not_installed', `${POM} has no <kafka.version>.`)
  const home = await cachedFolder(`kafka-${version}`, async (folder) => {
    log(`Fetching Apache Kafka ${version} with Maven (once) ...`)
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(folder, 'libs')}`]
    await run('mvn', ['-q', '-B', '-f', POM, ...goal], { maxBuffer: 16 << 20 }).catch((error) => {
      throw mavenError(error)
    })
  })
  return join(home, 'libs')
}

function mavenError(error: unknown): EmbeddedServerError {
  if (isMissing(error)) {
    return new EmbeddedServerError(
      'not_installed',
      `The embedded Kafka is fetched with Maven, but there is no mvn. ${REMEDY}`,
    )
  }
  const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
  const output = `${stdout}${stderr}`.trim().split('\n').slice(0, 5).join('\n')
  const advice = 'Check that this machine reaches a Maven repository (see ~/.m2/settings.xml for a mirror or proxy).'
  return new EmbeddedServerError(
    'not_installed',
    `Maven could not fetch Apache Kafka. ${advice} ${REMEDY}\n${output}`,
    {
      cause: error,
    },
  )
}

/** The java to run: JAVA_HOME's, else the one on the PATH. Throws `not_installed` when it is absent or too old for Kafka. */
export async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME
  const java = home ? join(home, 'bin', 'java') : 'java'
  let banner: string
  try {
    banner = (await run(java, ['-version'])).stderr
  } catch (error) {
    const problem = isMissing(error) ? `there is no ${java}` : `\`${java} -version\` failed`
    throw new EmbeddedServerError('not_installed', `The embedded Kafka needs Java, but ${problem}. ${REMEDY}`, {
      cause: error,
    })
  }
  // "17.0.15" or, up to Java 8, "1.8.0_401": the latter reads as 1, which is too old as well.
  const major = Number(/version "(\d+)/.exec(banner)?.[1])
  if (major >= JAVA_MINIMUM) return java
  const found = banner.split('\n')[0]
  throw new EmbeddedServerError(
    'not_installed',
    `The embedded Kafka needs Java ${JAVA_MINIMUM}, but ${java} is ${found}. ${REMEDY}`,
  )
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

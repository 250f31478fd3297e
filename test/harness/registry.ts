// A real schema registry for the tests that need one: Apicurio with its Confluent API, in memory, on 127.0.0.1, gone when the file ends.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll } from 'vitest'
import { cachedFolder } from '../../embedded/cache.ts'
import { findJava } from '../../embedded/kafka-jars.ts'
import { freePort } from '../../embedded/ports.ts'
import { startServer } from '../../embedded/server.ts'

const run = promisify(execFile)

const VERSION = '3.0.9'

export interface TestRegistry {
  /** The base URL that a client of Confluent's registry takes. */
  readonly url: string
  stop(): Promise<void>
}

/** Starts a registry of the file's own and stops it when the file ends. Call it in beforeAll. */
export async function startRegistry(): Promise<TestRegistry> {
  const dataDir = await mkdtemp(join(tmpdir(), 'scoreline-test-registry-'))
  const port = await freePort()
  const server = await startServer({
    name: 'schema registry',
    options: { port, dataDir },
    prepare: async () => ({
      command: await findJava(),
      args: [
        '-Xmx256m',
        '-XX:TieredStopAtLevel=1',
        '-XX:+UseSerialGC',
        `-Dquarkus.http.port=${port}`,
        '-Dquarkus.http.host=127.0.0.1',
        // It tells that it listens only when asked to.
        '-Dquarkus.log.category."io.quarkus".level=INFO',
        '-jar',
        join(await program(), `apicurio-registry-app-${VERSION}-runner.jar`),
      ],
      cwd: dataDir,
      env: {},
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 10_000,
    }),
    readyLine: /Listening on: http/,
    readyTimeoutMs: 90_000,
  })
  const stop = async () => {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  afterAll(stop)
  return { url: `http://127.0.0.1:${port}/apis/ccompat/v7`, stop }
}

/** The unpacked program: 109 MB, fetched once by Maven. */
function program(): Promise<string> {
  return cachedFolder(`apicurio-${VERSION}`, async (folder) => {
    const artifact = `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`
    await run('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`], {
      maxBuffer: 16 << 20,
    })
    const archive = join(folder, `apicurio-registry-app-${VERSION}-all.tar.gz`)
    await run('tar', ['-xzf', archive, '-C', folder])
    await rm(archive)
  })
}

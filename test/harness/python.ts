// Readers and clients that the project did not write, in Python: packages from PyPI, fetched once into .cache/.
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { cachedFolder } from '../../embedded/cache.ts'

const run = promisify(execFile)

/** Pinned: what a test reads with must not change by itself. */
const PACKAGES = ['pyarrow==21.0.0', 'confluent-kafka[avro]==2.11.1', 'requests==2.32.5', 'pandas==2.3.3']

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

/** Runs a Python file of the project, as a user would, and gives what it printed. Throws with its error output when it fails. */
export async function pythonFile(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const { stdout } = await run('python3', [file, ...args], {
    env: { ...process.env, ...env, PYTHONPATH: await packages() },
    maxBuffer: 64 << 20,
  })
  return stdout
}

/** A Python program that stays, where starting one for each question would take too long. */
export interface PythonSession {
  /** Gives the program a line of JSON, and what it answers with: a line of JSON too. One question at a time. */
  ask<T>(question: unknown): Promise<T>
  close(): void
}

/** Starts a program that answers each line of its input; it ends with its input. */
export async function pythonSession(program: string): Promise<PythonSession> {
  const child = spawn('python3', ['-u', '-c', program], {
    env: { ...process.env, PYTHONPATH: await packages() },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let turn: Promise<unknown> = Promise.resolve()
  const ask = async <T>(question: unknown): Promise<T> => {
    child.stdin.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await lines.next()
    if (done) throw new Error(`expected an answer to ${JSON.stringify(question)}, got the end of the Python program`)
    return JSON.parse(value) as T
  }
  return {
    ask: <T>(question: unknown) => {
      const answer = turn.then(() => ask<T>(question))
      turn = answer.catch(() => {})
      return answer
    },
    close: () => {
      child.stdin.end()
    },
  }
}

function packages(): Promise<string> {
  const digest = createHash('sha256').update(PACKAGES.join(' ')).digest('hex').slice(0, 12)
  return cachedFolder(`python-${digest}`, async (folder) => {
    await run('python3', ['-m', 'pip', 'install', '--quiet', '--no-input', '--target', folder, ...PACKAGES])
  })
}

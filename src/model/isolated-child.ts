// A process of its own for what a model may do to the process that runs it: a fault in the native runtime, or more memory than there
// is, ends that process and no other, and is then known for certain. Here is what its parents share: how it is started, asked
// and watched. It answers one question at a time.
import { type ChildProcess, fork } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { exit } from '../exit.ts'
import { ROLE_FLAGS } from '../role-flags.ts'

/** What the process says once, when it can begin. */
export interface Ready {
  readonly ready: true
}

/** How often its memory is looked at while it works. */
const WATCH_MS = 50

/** How the process ended. */
export interface Death {
  readonly code: number | null
  readonly signal: string | null
  /** We ended it: so many bytes were more than it may use. */
  readonly bytes: number | null
}

/** Nobody waits for the answer any more; the process was at it still, and was killed. */
export const OVER = Symbol('over')

/** A process that is ready for work. If it cannot begin, that is no model's fault. `purpose` is for the message then. */
export async function startChild(script: string, purpose: string): Promise<ChildProcess> {
  const child = fork(script, {
    // Typed arrays and 64-bit integers go through as they are.
    serialization: 'advanced',
    execArgv: [...ROLE_FLAGS],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await new Promise<void>((resolve, reject) => {
    // Later it says only that the process could not be written to or killed, which is gone then.
    child.on('error', reject)
    child.once('message', () => resolve())
    child.once('exit', (code, signal) => {
      reject(new Error(`the process for ${purpose} ended before it began: ${signal ?? `exit code ${code}`}`))
    })
  })
  return child
}

/** It has died or was killed; each of these may be known before the others. */
export function isGone({ killed, connected, exitCode, signalCode }: ChildProcess): boolean {
  return killed || !connected || exitCode !== null || signalCode !== null
}

/**
 * Gives a question to the process and waits for its answer or its end; kills it when it takes more than `maxBytes`, or when
 * `over` says that nobody waits any more.
 */
export async function askChild<Answer>(
  child: ChildProcess,
  question: object,
  maxBytes: number,
  over: AbortSignal,
): Promise<Answer | Death | typeof OVER> {
  const { promise, resolve } = Promise.withResolvers<Answer | Death | typeof OVER>()
  let bytes: number | null = null
  let answered = false
  const onAnswer = (answer: unknown) => resolve(answer as Answer)
  const onExit = (code: number | null, signal: string | null) => resolve({ code, signal, bytes })
  const onOver = () => {
    child.kill('SIGKILL')
    resolve(OVER)
  }
  child.once('message', onAnswer)
  child.once('exit', onExit)
  over.addEventListener('abort', onOver)
  const watch = setInterval(async () => {
    const now = await residentBytes(child.pid)
    if (answered || bytes !== null || now <= maxBytes) return
    bytes = now
    child.kill('SIGKILL')
  }, WATCH_MS)
  try {
    if (over.aborted) onOver()
    else if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode)
    // A process that is gone cannot be written to, which its exit says, too.
    else child.send(question, () => {})
    return await promise
  } finally {
    answered = true
    clearInterval(watch)
    child.off('message', onAnswer)
    child.off('exit', onExit)
    over.removeEventListener('abort', onOver)
  }
}

/** Resident memory of a process; 0 where that cannot be seen (other systems than Linux). */
async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** In the process itself: answers questions, one by one, until the parent is gone. */
export async function serveParent<Question, Answer>(answer: (question: Question) => Promise<Answer>): Promise<void> {
  // When the machine runs out of memory, the kernel is to end this process and no other. Elsewhere than on Linux there is no such file.
  await writeFile('/proc/self/oom_score_adj', '1000').catch(() => {})
  process.on('message', async (question: Question) => {
    const answered = await answer(question)
    if (process.connected) process.send?.(answered)
  })
  process.once('disconnect', () => exit())
  // A terminal's Ctrl-C reaches this process as well; its parent tells it when to go.
  process.on('SIGINT', () => {})
  process.send?.({ ready: true } satisfies Ready)
}

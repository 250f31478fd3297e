// What the processes below some pids have cost so far, by what they are: our roles, Kafka, Postgres. From /proc (Linux).
import { readdir, readFile, writeFile } from 'node:fs/promises'

export interface ProcessCost {
  /** CPU time, user and system, of all processes of this kind. Postgres' includes backends that have ended. */
  cpuSeconds: number
  /** Highest resident memory of any one process of this kind. */
  peakMegabytes: number
}

/** Linux reports CPU time in ticks of 10 ms on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100

/** One process as /proc has it. */
export interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
  readonly cpuSeconds: number
  readonly peakMegabytes: number
}

export async function processCosts(roots: readonly number[]): Promise<Record<string, ProcessCost>> {
  const costs: Record<string, ProcessCost> = {}
  for (const one of await processesBelow(roots)) {
    const kind = kindOf(one.command)
    if (!kind) continue
    const cost = costs[kind] ?? { cpuSeconds: 0, peakMegabytes: 0 }
    cost.cpuSeconds += one.cpuSeconds
    cost.peakMegabytes = Math.max(cost.peakMegabytes, one.peakMegabytes)
    costs[kind] = cost
  }
  return costs
}

/** These and all that they started, directly or not. */
export async function processesBelow(roots: readonly number[]): Promise<Process[]> {
  const all = (
    await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(readProcess))
  ).filter((one) => one !== null)
  const wanted = new Set(roots)
  // Parents have lower pids than their children, but for a wrap-around: so repeat until nothing is added.
  for (let size = 0; size !== wanted.size; ) {
    size = wanted.size
    for (const one of all) if (wanted.has(one.parent)) wanted.add(one.pid)
  }
  return all.filter(({ pid }) => wanted.has(pid))
}

/** Stops these processes, and all that they started, where they are; the result lets them go on. They go on at our end, too. */
export async function pause(roots: readonly number[]): Promise<() => void> {
  const below = await processesBelow(roots)
  const resume = (): void => {
    process.off('exit', resume)
    for (const { pid } of below) signal(pid, 'SIGCONT')
  }
  process.once('exit', resume)
  for (const { pid } of below) signal(pid, 'SIGSTOP')
  return resume
}

/** A process that has ended by itself meanwhile is no reason to leave the others as they are. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Begins the peaks of these processes anew. */
export async function forgetPeaks(roots: readonly number[]): Promise<void> {
  const below = await processesBelow(roots)
  // 5: the peak of resident memory. Source: proc_pid_clear_refs(5). A process that has ended, or is another user's, keeps its own.
  await Promise.all(below.map(({ pid }) => writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => {})))
}

function kindOf(command: string): string | null {
  const role = /src\/main\.ts (api|controller|reader|scorer|sink)$/.exec(command)?.[1]
  if (role) return role
  if (command.includes('kafka.Kafka')) return 'kafka'
  return /postgres/.test(command.split(' ')[0] ?? '') ? 'postgres' : null
}

async function readProcess(pid: string): Promise<Process | null> {
  try {
    const [stat, status, command] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ])
    // The second field is the name in parentheses, which may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [parent, user, system, childUser, childSystem] = [1, 11, 12, 13, 14].map((index) =>
      Number(fields[index]),
    ) as [number, number, number, number, number]
    const postmaster = /postgres.* -D /.test(command.replaceAll('\0', ' '))
    return {
      pid: Number(pid),
      parent,
      command: command.replaceAll('\0', ' ').trim(),
      cpuSeconds: (user + system + (postmaster ? childUser + childSystem : 0)) / TICKS_PER_SECOND,
      peakMegabytes: Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024,
    }
  } catch {
    return null // it ended while we looked
  }
}

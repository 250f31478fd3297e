// What a scorer's execution providers compute on, as the machine names it: for people who look at workers.v1.
import { readdir, readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'

/** Where NVIDIA's driver lists its GPUs, a folder each. */
const NVIDIA_GPUS = '/proc/driver/nvidia/gpus'

/** The devices of these providers, in their order; a provider of which nothing is known has none. */
export async function devicesOf(providers: readonly string[]): Promise<string[]> {
  const devices = await Promise.all(
    providers.map((provider) => (provider === 'cpu' ? [cpuName()] : provider === 'cuda' ? gpuNames() : [])),
  )
  return devices.flat()
}

function cpuName(): string {
  const cores = cpus()
  return `${cores.length} x ${cores[0]?.model.trim() ?? 'CPU'}`
}

async function gpuNames(): Promise<string[]> {
  const folders = await readdir(NVIDIA_GPUS).catch(() => [])
  return Promise.all(
    folders.sort().map(async (folder) => {
      const about = await readFile(join(NVIDIA_GPUS, folder, 'information'), 'utf8').catch(() => '')
      return /^Model:\s*(.+)$/m.exec(about)?.[1]?.trim() ?? `GPU ${folder}`
    }),
  )
}

// `npm run test:gpu`: the tests of the pools with the gpu pool on a real device, so that predictions of both pools are compared.
// Where there is no device it says so, and runs them with the gpu pool on the CPU.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { devicesOf } from '../src/model/devices.ts'
import { requireProviders } from '../src/model/session.ts'

const missing = await requireProviders(['cuda', 'cpu']).then(
  () => null,
  (error: Error) => error.message,
)
console.log(
  missing === null
    ? `CUDA device: ${(await devicesOf(['cuda'])).join(', ')}; predictions of the cpu and the gpu pool are compared.`
    : `No CUDA device here, so no prediction of a GPU is compared; the gpu pool computes on the CPU (${missing}).`,
)
const child = spawn('npx', ['vitest', 'run', 'test/service/pools.test.ts'], {
  env: { ...process.env, TEST_GPU_PROVIDERS: missing === null ? 'cuda,cpu' : 'cpu' },
  stdio: 'inherit',
})
const [code] = await once(child, 'exit')
process.exitCode = code ?? 1

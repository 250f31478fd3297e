// A program that starts both local servers and then does nothing: test/embedded kills it hard and looks what becomes of them.
// argv: a folder for each server's data. Prints one line of JSON once both are up: the pids of the two servers.
import { startKafka } from '../../embedded/kafka.ts'
import { freePort } from '../../embedded/ports.ts'
import { startPostgres } from '../../embedded/postgres.ts'

const [kafkaDir = '', postgresDir = ''] = process.argv.slice(2)
const [kafka, postgres] = await Promise.all([
  startKafka({ port: await freePort(), dataDir: kafkaDir }),
  startPostgres({ port: await freePort(), dataDir: postgresDir }),
])
process.stdout.write(`${JSON.stringify({ pids: [kafka.pid, postgres.pid] })}\n`)

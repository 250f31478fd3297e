#!/usr/bin/env node
// `npx scoreline …`: the command line. Talks REST to the service at SCORELINE_URL, as the tenant of SCORELINE_API_KEY.
// Exits 0 done (a followed job: completed), 1 the job failed, 2 usage or a refused request, 3 cancelled, 4 unreachable.
import { CommanderError } from 'commander'
import { CliError, EXIT } from './client.ts'
import { createProgram } from './program.ts'

// A reader that goes away (`| head`) has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed),
)

try {
  await createProgram(process.env.SCORELINE_URL).parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
}

/** Commander has said itself what it refuses. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (!(error instanceof CliError)) throw error
  process.stderr.write(`scoreline: ${error.message}\n`)
  return error.exitCode
}

#!/usr/bin/env node
// `npx scoreline …`: the command line. Talks REST to the service at SCORELINE_URL, as the tenant of SCORELINE_API_KEY.
// Exits 0 done (a followed job: completed), 1 the job failed, 2 usage or a refused request, 3 cancelled, 4 unreachable.
import { Command, CommanderError } from 'commander'
import { CliError, EXIT } from './client.ts'
import { completionCommand } from './commands/completion.ts'
import { jobCommands } from './commands/jobs.ts'
import { modelCommands } from './commands/models.ts'
import { resultCommands } from './commands/results.ts'
import { scheduleCommands } from './commands/schedules.ts'
import { topCommand } from './commands/top.ts'

const program = new Command('scoreline')
  .description('Score the rows of a SQL query with an ONNX model; predictions go to a table, files or a topic.')
  .option('--url <url>', 'address of the service', process.env.SCORELINE_URL ?? 'http://127.0.0.1:8080')
  .option('--json', 'print JSON')
  .addHelpText(
    'after',
    `
Environment:
  SCORELINE_URL      address of the service
  SCORELINE_API_KEY  key of your tenant, where the service asks for one

Exit codes: 0 done or completed, 1 the job failed, 2 usage or refused, 3 cancelled, 4 unreachable`,
  )
  .exitOverride()

jobCommands(program)
resultCommands(program)
modelCommands(program)
scheduleCommands(program)
topCommand(program)
completionCommand(program)

// A reader that goes away (`| head`) has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed),
)

try {
  await program.parseAsync()
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

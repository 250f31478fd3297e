// The command line's commands, options and help.
import { Command } from 'commander'
import { completionCommand } from './commands/completion.ts'
import { jobCommands } from './commands/jobs.ts'
import { modelCommands } from './commands/models.ts'
import { resultCommands } from './commands/results.ts'
import { scheduleCommands } from './commands/schedules.ts'
import { topCommand } from './commands/top.ts'

/** `serviceUrl` is where the service is looked for without `--url`. */
export function createProgram(serviceUrl = 'http://127.0.0.1:8080'): Command {
  const program = new Command('scoreline')
    .description('Score the rows of a SQL query with an ONNX model; predictions go to a table, files or a topic.')
    .option('--url <url>', 'address of the service', serviceUrl)
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
  return program
}

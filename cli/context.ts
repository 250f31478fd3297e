// What every command is given, from the options before its name and the environment.
import type { Command } from 'commander'
import { type Client, createClient } from './client.ts'

export interface CliContext {
  readonly client: Client
  /** Print JSON instead of text. */
  readonly json: boolean
}

/** The context of a command that runs; `--json` may stand before or behind its name. */
export function contextOf(command: Command): CliContext {
  const { url, json = false } = command.optsWithGlobals<{ url: string; json?: boolean }>()
  return { client: createClient(url, process.env.SCORELINE_API_KEY), json }
}

// What each command says of itself.
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { createProgram } from '../../cli/program.ts'

/** The commands that do something, each with its words. */
function commandsOf(command: Command, words: readonly string[] = []): [string, Command][] {
  if (!command.commands.length) return [[words.join(' '), command]]
  return command.commands.flatMap((each) => commandsOf(each, [...words, each.name()]))
}

test.each(commandsOf(createProgram()))('%s has help with an example', (words, command) => {
  let help = ''
  command.configureOutput({
    writeOut: (text) => {
      help += text
    },
  })
  command.outputHelp()
  expect(help).toContain(`Usage: scoreline ${words}`)
  expect(help).toMatch(new RegExp(`Examples?:\n.*scoreline ${words}`))
})

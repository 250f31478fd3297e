// scoreline completion bash|zsh: a script for the shell, out of the commands that there are.
import { Argument, type Command } from 'commander'
import { examples } from '../examples.ts'
import { print } from '../show.ts'

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh']))
    .description('print a completion script')
    .addHelpText(
      'after',
      examples('source <(npx scoreline completion bash)', 'source <(npx scoreline completion zsh)   # in ~/.zshrc too'),
    )
    .action((shell: string) => print(shell === 'bash' ? bash(program) : zsh(program)))
}

/** A command's path → its subcommands and its options. */
function choices(command: Command, path: readonly string[] = []): [string, string[], string[]][] {
  const options = command.options.flatMap(({ long }) => (long ? [long] : []))
  const own: [string, string[], string[]] = [path.join(' '), command.commands.map((each) => each.name()), options]
  return [own, ...command.commands.flatMap((each) => choices(each, [...path, each.name()]))]
}

/** Both shells run it; zsh has variables of its own named `path` and `words`. */
function bash(program: Command): string {
  const cases = choices(program).map(
    ([path, commands, options]) =>
      `    '${path}') subcommands='${commands.join(' ')}'; options='${options.join(' ')}' ;;`,
  )
  return `_scoreline_choices() {
  case "$1" in
${cases.join('\n')}
  esac
}
_scoreline() {
  local place='' word subcommands='' options=''
  _scoreline_choices ''
  # A word counts when it is a subcommand of those before it: values of options are not.
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    case " $subcommands " in
      *" $word "*) place="\${place:+$place }$word"; _scoreline_choices "$place" ;;
    esac
  done
  COMPREPLY=($(compgen -W "$subcommands $options" -- "\${COMP_WORDS[$COMP_CWORD]}"))
}
complete -o default -F _scoreline scoreline`
}

function zsh(program: Command): string {
  return `(( $+functions[compdef] )) || { autoload -U +X compinit && compinit -u }
autoload -U +X bashcompinit && bashcompinit
${bash(program)}`
}

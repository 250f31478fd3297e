// scoreline completion bash|zsh: a script for the shell, out of the commands that there are.
import { Argument, type Command } from 'commander'
import { print } from '../show.ts'

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh']))
    .description('print a completion script')
    .addHelpText('after', '\nExample:\n  source <(npx scoreline completion bash)')
    .action((shell: string) => print(shell === 'bash' ? bash(program) : zsh(program)))
}

/** Words before the cursor → what may come next. */
function choices(command: Command, path: readonly string[] = []): [string, string[]][] {
  const options = command.options.flatMap(({ long }) => (long ? [long] : []))
  const own: [string, string[]] = [path.join(' '), [...command.commands.map((each) => each.name()), ...options]]
  return [own, ...command.commands.flatMap((each) => choices(each, [...path, each.name()]))]
}

function bash(program: Command): string {
  const cases = choices(program).map(([path, words]) => `    '${path}') words='${words.join(' ')}' ;;`)
  return `_scoreline() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || path="\${path:+$path }$word"
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _scoreline scoreline`
}

function zsh(program: Command): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`
}

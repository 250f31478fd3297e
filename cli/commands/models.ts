// scoreline models push, list.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Command } from 'commander'
import { CliError, EXIT } from '../client.ts'
import { contextOf } from '../context.ts'
import { examples } from '../examples.ts'
import { print, printJson, table } from '../show.ts'

interface Model {
  readonly model_id: string
  readonly version: number
  readonly sha256: string
  readonly features: readonly string[]
  readonly inputs: readonly Named[]
  readonly outputs: readonly Named[]
}

interface Named {
  readonly name: string
}

export function modelCommands(program: Command): void {
  const models = program.command('models').description('the models that jobs can name')

  models
    .command('push <file>')
    .description('register an ONNX file; other bytes make a new version')
    .option('--id <model_id>', "default: the file's name")
    .option('--features <names...>', 'query columns for a single-tensor input, in order')
    .addHelpText(
      'after',
      examples(
        'scoreline models push churn.onnx --features tenure monthly_charges total_charges',
        'scoreline models push build/model.onnx --id churn',
      ),
    )
    .action(async (file: string, flags: { id?: string; features?: string[] }, command: Command) => {
      const { client, json } = contextOf(command)
      const id = flags.id ?? basename(file).replace(/\.onnx$/, '')
      const search = flags.features ? `?${new URLSearchParams({ features: flags.features.join(',') })}` : ''
      const bytes = await readFile(file).catch((error: Error) => {
        throw new CliError(EXIT.usage, `cannot read ${file}: ${error.message}`)
      })
      const model = await client.json<Model>('PUT', `/api/v1/models/${encodeURIComponent(id)}${search}`, bytes)
      if (json) printJson(model)
      else print(`${model.model_id}@${model.version}: ${names(model.inputs)} → ${names(model.outputs)}`)
    })

  models
    .command('list')
    .description('list models')
    .addHelpText('after', examples('scoreline models list'))
    .action(async (_flags: object, command: Command) => {
      const { client, json } = contextOf(command)
      const { data } = await client.json<{ data: readonly Model[] }>('GET', '/api/v1/models')
      if (json) return printJson(data)
      if (!data.length) return print('no models; `scoreline models push FILE.onnx` registers one')
      print(
        table(
          ['model', 'version', 'features', 'outputs', 'sha256'],
          data.map(({ model_id, version, features, inputs, outputs, sha256 }) => [
            model_id,
            version,
            features.join(', ') || names(inputs),
            names(outputs),
            sha256.slice(0, 12),
          ]),
        ),
      )
    })
}

function names(values: readonly Named[]): string {
  return values.map(({ name }) => name).join(', ')
}

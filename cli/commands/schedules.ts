// scoreline schedules list, pause, resume, delete. A schedule is made by `submit` with a `schedule` in its file.
import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { examples } from '../examples.ts'
import { print, printJson, table } from '../show.ts'

interface Schedule {
  readonly schedule_id: string
  readonly cron: string
  readonly timezone: string
  readonly enabled: boolean
  readonly last_fired_at: string | null
  readonly next_fire_at: string | null
}

const SCHEDULES = '/api/v1/inference/schedules'

export function scheduleCommands(program: Command): void {
  const schedules = program
    .command('schedules')
    .description('jobs by the clock; `submit` makes one from a file with a `schedule`')

  schedules
    .command('list')
    .description('list schedules')
    .addHelpText('after', examples('scoreline schedules list'))
    .action(async (_flags: object, command: Command) => {
      const { client, json } = contextOf(command)
      const { data } = await client.json<{ data: readonly Schedule[] }>('GET', SCHEDULES)
      if (json) printJson(data)
      else print(data.length ? listText(data) : 'no schedules; submit a file with a `schedule` to make one')
    })

  const change = (name: string, description: string, enabled: boolean) =>
    schedules
      .command(`${name} <schedule_id>`)
      .description(description)
      .addHelpText('after', examples(`scoreline schedules ${name} schedule-…`))
      .action(async (id: string, _flags: object, command: Command) => {
        const { client, json } = contextOf(command)
        const schedule = await client.json<Schedule>('PATCH', pathOf(id), { enabled })
        if (json) printJson(schedule)
        else print(listText([schedule]))
      })
  change('pause', 'stop it from firing', false)
  change('resume', 'let it fire again, from now on', true)

  schedules
    .command('delete <schedule_id>')
    .description('delete it; jobs that it made go on')
    .addHelpText('after', examples('scoreline schedules delete schedule-…'))
    .action(async (id: string, _flags: object, command: Command) => {
      const { client, json } = contextOf(command)
      await client.json('DELETE', pathOf(id))
      if (json) printJson({ schedule_id: id, deleted: true })
      else print(`${id} is deleted`)
    })
}

function pathOf(id: string): string {
  return `${SCHEDULES}/${encodeURIComponent(id)}`
}

function listText(schedules: readonly Schedule[]): string {
  return table(
    ['schedule', 'cron', 'timezone', 'state', 'last fired', 'fires next'],
    schedules.map(({ schedule_id, cron, timezone, enabled, last_fired_at, next_fire_at }) => [
      schedule_id,
      cron,
      timezone,
      enabled ? 'on' : 'paused',
      last_fired_at,
      next_fire_at,
    ]),
  )
}

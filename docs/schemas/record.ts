// `npm run schemas`: writes the schemas that the code declares to where people and later versions look for them. Nothing is
// ever removed from topics/schemas: records that were written with it may still be there.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandSchema, commandAvroSchema } from '../../src/job/command-schema.ts'
import { fingerprintOf } from '../../topics/avro.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { CODECS } from '../../topics/index.ts'
import { jobsTopic } from '../../topics/jobs.ts'

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** Every Avro schema that records of a topic have, or that producers are asked to use. */
export const SCHEMAS = [
  ...CODECS.map(({ topic, codec }) => ({ topic, schema: codec.schema })),
  { topic: commandsTopic, schema: commandAvroSchema },
]

/** Path in the project → content, of everything that follows from the code. */
export function schemaFiles(): Map<string, string> {
  const recorded = SCHEMAS.map(({ topic, schema }): [string, unknown] => [
    `topics/schemas/${topic.name}/${fingerprintOf(schema)}.avsc`,
    schema,
  ])
  const published = SCHEMAS.filter(({ topic }) => topic === jobsTopic || topic === commandsTopic)
  const files: [string, unknown][] = [
    ...recorded,
    ...published.map(({ topic, schema }): [string, unknown] => [`docs/schemas/${topic.name}.avsc`, schema]),
    [`docs/schemas/${commandsTopic.name}.schema.json`, { $schema: DIALECT, ...CommandSchema }],
  ]
  return new Map(files.map(([file, schema]) => [file, `${JSON.stringify(schema, null, 2)}\n`]))
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..')
  for (const [file, text] of schemaFiles()) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
}

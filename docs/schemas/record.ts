// `npm run schemas`: writes the schemas that the code declares to where people and later versions look for them. Nothing is
// ever removed from topics/schemas: records that were written with it may still be there.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CODECS } from '../../topics/index.ts'
import { jobSchema, jobsTopic } from '../../topics/jobs.ts'

/** Path in the project → content, of everything that follows from the code. */
export function schemaFiles(): Map<string, string> {
  const recorded = CODECS.map(({ topic, codec }): [string, unknown] => [
    `topics/schemas/${topic.name}/${codec.fingerprint}.avsc`,
    codec.schema,
  ])
  const files: [string, unknown][] = [...recorded, [`docs/schemas/${jobsTopic.name}.avsc`, jobSchema]]
  return new Map(files.map(([file, schema]) => [file, `${JSON.stringify(schema, null, 2)}\n`]))
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..')
  for (const [file, text] of schemaFiles()) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
}

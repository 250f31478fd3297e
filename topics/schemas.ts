// schemas.v1: every Avro schema that a record of a control topic may have been written with. Key: the schema's fingerprint,
// as it stands in such a record after the two marker bytes (16 hex digits). Value: the schema's JSON. One partition.
//
// Each process puts here what it writes with before it writes anything. So a process of an older version can read what a
// newer one writes beside it, and so can anyone downstream, without a registry.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compactedTopic, type TopicSpec } from './topic.ts'

export const schemasTopic: TopicSpec = { ...compactedTopic('schemas.v1'), partitions: 1 }

/** Fingerprint → schema's JSON. */
const learnt = new Map<string, string>()
let recorded: ReadonlyMap<string, string> | undefined

/**
 * The schemas that this version and the ones before it wrote with: `topics/schemas/<topic>/<fingerprint>.avsc`. `npm run
 * schemas` records a new one; a test sees to it that it is there, and that all of a topic can read each other.
 */
export function recordedSchemas(): ReadonlyMap<string, string> {
  recorded ??= new Map(
    readdirSync(join(import.meta.dirname, 'schemas'), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.avsc'))
      .map((entry) => [entry.name.slice(0, -5), readFileSync(join(entry.parentPath, entry.name), 'utf8')]),
  )
  return recorded
}

/** The schema that has this fingerprint, if this process knows it: from its own files, or from schemas.v1. */
export function schemaOf(fingerprint: string): string | undefined {
  return recordedSchemas().get(fingerprint) ?? learnt.get(fingerprint)
}

/** Takes over a record of schemas.v1 that is what its key says. */
export function learnSchema(fingerprint: string, schema: string): void {
  learnt.set(fingerprint, schema)
}

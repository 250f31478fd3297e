// schemas.v1 from a process's side: it says there what it writes with, and looks up what others wrote with.
import { fingerprintOf, UnknownSchema } from '../../topics/avro.ts'
import { CODECS } from '../../topics/index.ts'
import { learnSchema, recordedSchemas, schemasTopic } from '../../topics/schemas.ts'
import type { KafkaClient } from './client.ts'
import { LogReader } from './log-reader.ts'
import type { RecordProducer } from './producer.ts'

/**
 * Writes down every schema that this version knows, its own among them, before the first record that is written with it.
 * Saying it again changes nothing: the topic is compacted.
 */
export async function publishSchemas(producer: RecordProducer): Promise<void> {
  const own = CODECS.map(({ codec }): [string, string] => [codec.fingerprint, JSON.stringify(codec.schema)])
  const schemas = new Map([...recordedSchemas(), ...own])
  await producer.send(
    [...schemas].map(([key, schema]) => ({ topic: schemasTopic, partition: 0, key, value: Buffer.from(schema) })),
  )
}

/**
 * Gives what `decode` gives. When it meets a schema that this process has not heard of (one of a newer version, during an
 * upgrade) it is run again with all of schemas.v1 at hand; then, and only then, the answer is a promise.
 */
export function withSchemas<T>(client: KafkaClient, decode: () => T): T | Promise<T> {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof UnknownSchema)) throw error
    return learnSchemas(client).then(decode)
  }
}

async function learnSchemas(client: KafkaClient): Promise<void> {
  const log = new LogReader(client, schemasTopic)
  try {
    await log.read(0, { offset: 0n }, ({ key, value }) => {
      const [said, schema] = [String(key), value.toString()]
      const fingerprint = fingerprintIn(schema)
      // Whoever may write to the topic could otherwise have records read as something else.
      if (fingerprint === said) learnSchema(said, schema)
      else
        client.log.warn(
          { key: said, fingerprint },
          'a record of schemas.v1 is ignored: its key must be the fingerprint of the Avro schema in its value',
        )
      return true
    })
  } finally {
    await log.close()
  }
}

/** Null: it is no schema. */
function fingerprintIn(text: string): string | null {
  try {
    return fingerprintOf(JSON.parse(text))
  } catch {
    return null
  }
}

// What anyone sees in a topic who reads committed records, with a client that the project did not write (librdkafka).
import { python } from '../../harness/python.ts'
import { kafkaBrokers } from '../../harness/servers.ts'

export interface SeenRecord {
  readonly partition: number
  /** As text; null when the record has none. */
  readonly key: string | null
  /** A JSON value as it was; an Avro record with decimals, times, uuids as Python prints them, bytes in hexadecimal. */
  readonly value: Record<string, unknown>
  readonly headers: Record<string, string>
}

const PROGRAM = `
import json, sys
from confluent_kafka import Consumer, TopicPartition, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import SerializationContext, MessageField
brokers, topic, registry = sys.argv[1:]
consumer = Consumer({'bootstrap.servers': brokers, 'group.id': 'reader', 'isolation.level': 'read_committed',
  'enable.auto.commit': False, 'auto.offset.reset': 'earliest', 'enable.partition.eof': True})
avro = AvroDeserializer(SchemaRegistryClient({'url': registry})) if registry else None
def shown(value):
  if isinstance(value, bytes): return value.hex()
  return str(value)
partitions = consumer.list_topics(topic, 30).topics[topic].partitions
consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
left, found = set(partitions), []
while left:
  message = consumer.poll(30)
  if message is None: raise Exception('nothing for 30 s')
  if message.error():
    if message.error().code() != KafkaError._PARTITION_EOF: raise Exception(str(message.error()))
    left.discard(message.partition())
    continue
  body = message.value()
  value = avro(body, SerializationContext(topic, MessageField.VALUE)) if avro else json.loads(body)
  key = message.key()
  found.append({'partition': message.partition(), 'key': None if key is None else key.decode(), 'value': value,
    'headers': {name: text.decode() for name, text in message.headers() or []}})
consumer.close()
print(json.dumps(found, default=shown))
`

/** Every record that is committed now; Avro if a registry is given, else JSON. */
export function readTopic(topic: string, registryUrl = ''): Promise<SeenRecord[]> {
  return python(PROGRAM, [kafkaBrokers(), topic, registryUrl])
}

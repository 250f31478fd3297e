// What anyone sees in a topic who reads committed records, with a client that the project did not write (librdkafka).
import { python, pythonSession } from '../../harness/python.ts'
import { kafkaBrokers } from '../../harness/servers.ts'

export interface SeenRecord {
  readonly partition: number
  /** As text; null when the record has none. */
  readonly key: string | null
  /** A JSON value as it was; an Avro record with decimals, times, uuids as Python prints them, bytes in hexadecimal. */
  readonly value: Record<string, unknown>
  readonly headers: Record<string, string>
}

/** Yields every committed record of the topic, up to the end as it is now. */
const RECORDS = `
import json, sys
from confluent_kafka import Consumer, TopicPartition, KafkaError
def records(brokers, topic):
  consumer = Consumer({'bootstrap.servers': brokers, 'group.id': 'reader', 'isolation.level': 'read_committed',
    'enable.auto.commit': False, 'fetch.wait.max.ms': 20, 'auto.offset.reset': 'earliest', 'enable.partition.eof': True})
  left = set(consumer.list_topics(topic, 30).topics[topic].partitions)
  consumer.assign([TopicPartition(topic, p, 0) for p in left])
  while left:
    message = consumer.poll(30)
    if message is None: raise Exception('nothing for 30 s')
    if not message.error(): yield message
    elif message.error().code() == KafkaError._PARTITION_EOF: left.discard(message.partition())
    else: raise Exception(str(message.error()))
  consumer.close()
`

const READ = `${RECORDS}
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import SerializationContext, MessageField
brokers, topic, registry = sys.argv[1:]
avro = AvroDeserializer(SchemaRegistryClient({'url': registry})) if registry else None
found = []
for message in records(brokers, topic):
  body, key = message.value(), message.key()
  found.append({'partition': message.partition(), 'key': None if key is None else key.decode(),
    'value': avro(body, SerializationContext(topic, MessageField.VALUE)) if avro else json.loads(body),
    'headers': {name: text.decode() for name, text in message.headers() or []}})
print(json.dumps(found, default=lambda value: value.hex() if isinstance(value, bytes) else str(value)))
`

/** Every record that is committed now; Avro if a registry is given, else JSON. */
export function readTopic(topic: string, registryUrl = ''): Promise<SeenRecord[]> {
  return python(READ, [kafkaBrokers(), topic, registryUrl])
}

const COUNT = `${RECORDS}
keys = [int(message.key()) for message in records(*sys.argv[1:])]
print(json.dumps({'records': len(keys), 'keys': len(set(keys)), 'lowest': min(keys), 'highest': max(keys)}))
`

/** How many committed records there are and how many keys, which are numbers. */
export function countKeys(topic: string): Promise<{ records: number; keys: number; lowest: number; highest: number }> {
  return python(COUNT, [kafkaBrokers(), topic])
}

const LOOK = `${RECORDS}
from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient, OffsetSpec
def ends(admin, partitions, isolation):
  asked = admin.list_offsets({p: OffsetSpec.latest() for p in partitions}, isolation_level=isolation)
  return {p.partition: future.result().offset for p, future in asked.items()}
for line in sys.stdin:
  brokers, topic, what = json.loads(line)
  admin = AdminClient({'bootstrap.servers': brokers})
  there = topic in admin.list_topics(timeout=30).topics
  if not there: answer = None
  elif what == 'values': answer = [message.value().decode() for message in records(brokers, topic)]
  else:
    partitions = [TopicPartition(topic, p) for p in admin.list_topics(topic, 30).topics[topic].partitions]
    stable, all = ends(admin, partitions, IsolationLevel.READ_COMMITTED), ends(admin, partitions, IsolationLevel.READ_UNCOMMITTED)
    answer = [p for p in all if all[p] != stable[p]]
  print(json.dumps(answer))
`

/** One who looks into topics again and again. */
export interface TopicReader {
  /** The values of all records that are committed now, as text; null without such a topic. */
  values(topic: string): Promise<string[] | null>
  /** The partitions that consumers cannot read to the end, for a transaction is open; null without such a topic. */
  heldBack(topic: string): Promise<number[] | null>
  close(): void
}

export async function topicReader(): Promise<TopicReader> {
  const { ask, close } = await pythonSession(LOOK)
  return {
    values: (topic) => ask([kafkaBrokers(), topic, 'values']),
    heldBack: (topic) => ask([kafkaBrokers(), topic, 'held back']),
    close,
  }
}

"""Waits on jobs.v1 for the end of a job, then prints the predictions that it wrote to a topic, one line of JSON each.

    pip install 'confluent-kafka[avro]==2.11.1'
    python3 examples/python/follow.py batch-0123456789abcdef0123

Environment: KAFKA_BROKERS, KAFKA_TOPIC_PREFIX, and SCHEMA_REGISTRY_URL for predictions in Avro. Exits 1 when the job did not
complete, with its reason.
"""
import io
import json
import os
import sys

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

BROKERS = os.environ.get("KAFKA_BROKERS", "127.0.0.1:19092")
PREFIX = os.environ.get("KAFKA_TOPIC_PREFIX", "inference.")
schemas = {}


def records(topic, follow=False):
    """The committed records of a topic from its beginning; without `follow`, up to its end now."""
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "group.id": "unused: partitions are assigned by hand",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    left = set(partitions)
    try:
        while left or follow:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is None:
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise SystemExit(str(message.error()))
    finally:
        consumer.close()


def decode(value):
    """A record of a control topic: two marker bytes, eight of the writer's schema's fingerprint, and the Avro body."""
    fingerprint = value[2:10].hex()
    if fingerprint not in schemas:
        for message in records(PREFIX + "schemas.v1"):
            if message.value() is not None:
                schemas[message.key().decode()] = fastavro.parse_schema(json.loads(message.value()))
    return fastavro.schemaless_reader(io.BytesIO(value[10:]), schemas[fingerprint], None)


def finished(job_id):
    for message in records(PREFIX + "jobs.v1", follow=True):
        # A record without a value: the job's time is over (BATCH_RESULT_TTL_HOURS).
        if message.key() != job_id.encode() or message.value() is None:
            continue
        job = decode(message.value())
        if job["status"] in ("completed", "failed", "cancelled"):
            return job


def row_decoder(output):
    # What a submission leaves open is settled by the service: Avro where it has a registry.
    if output["format"] == "json" or (output["format"] is None and "SCHEMA_REGISTRY_URL" not in os.environ):
        return lambda topic, value: json.loads(value)
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    deserialize = AvroDeserializer(SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]}))
    return lambda topic, value: deserialize(value, SerializationContext(topic, MessageField.VALUE))


def main(job_id):
    job = finished(job_id)
    if job["status"] != "completed":
        raise SystemExit(f"{job_id} is {job['status']}: {job['error']}")
    for output in job["outputs"]:
        if output["destination"] != "kafka":
            continue
        decode_row = row_decoder(output)
        # Other jobs write to the topic too; and only committed records are read, each of them once.
        for message in records(output["topic"]):
            if ("job_id", job_id.encode()) in (message.headers() or []):
                print(json.dumps(decode_row(output["topic"], message.value()), default=str))


main(*sys.argv[1:])

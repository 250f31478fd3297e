"""Submits a job by a record on commands.v1 and prints the job's id.

    pip install 'confluent-kafka[avro]==2.11.1'
    python3 examples/python/submit.py job.json [idempotency-key]

job.json is the body of POST /api/v1/inference/batch. Environment: KAFKA_BROKERS, KAFKA_TOPIC_PREFIX, TENANT, and where
they are used COMMAND_SECRET (signs the record) and SCHEMA_REGISTRY_URL (sends Avro instead of JSON).
"""
import hashlib
import hmac
import json
import os
import pathlib
import sys
import uuid

from confluent_kafka import Producer

BROKERS = os.environ.get("KAFKA_BROKERS", "127.0.0.1:19092")
TOPIC = os.environ.get("KAFKA_TOPIC_PREFIX", "inference.") + "commands.v1"
TENANT = os.environ.get("TENANT", "default")
SCHEMA = pathlib.Path(__file__).parents[2] / "docs/schemas/commands.v1.avsc"


def to_bytes(command):
    url = os.environ.get("SCHEMA_REGISTRY_URL")
    if not url:
        return json.dumps(command).encode()
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    serialize = AvroSerializer(SchemaRegistryClient({"url": url}), SCHEMA.read_text())
    return serialize(command, SerializationContext(TOPIC, MessageField.VALUE))


def signature(value):
    secret = os.environ["COMMAND_SECRET"].encode()
    return "v1=" + hmac.new(secret, TENANT.encode() + b"." + value, hashlib.sha256).hexdigest()


def job_id(key):
    identity = json.dumps(["key", TENANT, key], separators=(",", ":"), ensure_ascii=False)
    return "batch-" + hashlib.sha256(identity.encode()).hexdigest()[:20]


def main(path, key=None):
    # The same key never makes a second job, so whatever was sent may be sent again.
    key = key or str(uuid.uuid4())
    job = json.loads(pathlib.Path(path).read_text())
    value = to_bytes({"type": "submit", "tenant_id": TENANT, "idempotency_key": key, "job": job})
    headers = [("scoreline-signature", signature(value))] if "COMMAND_SECRET" in os.environ else []
    failures = []
    # The partitioner that Kafka's own clients have; with another one the record is forwarded, which takes a moment longer.
    producer = Producer({"bootstrap.servers": BROKERS, "acks": "all", "partitioner": "murmur2_random"})
    producer.produce(
        TOPIC, value, key=TENANT, headers=headers, on_delivery=lambda error, _: failures.append(error) if error else None
    )
    if producer.flush(30) or failures:
        sys.exit(f"not delivered: {failures or 'no answer within 30 s'}")
    print(job_id(key))


main(*sys.argv[1:])

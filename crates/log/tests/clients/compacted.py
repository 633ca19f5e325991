"""Compacted topics, one for each compression, as kafka-python and confluent-kafka read them.

Usage: compacted.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from kafka import KafkaConsumer
from kafka import TopicPartition as Place

SERVER = sys.argv[1]


def with_confluent(topic):
    consumer = Consumer({"bootstrap.servers": SERVER, "group.id": "unused",
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "fetch.message.max.bytes": 1000})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    records = []
    while True:
        message = consumer.poll(30)
        assert message is not None, f"stuck after {len(records)}"
        if message.error():
            break
        records.append((message.offset(), message.key(), message.value()))
    consumer.close()
    return records


def with_kafka_python(topic, end):
    consumer = KafkaConsumer(bootstrap_servers=SERVER, consumer_timeout_ms=30_000,
                             max_partition_fetch_bytes=1000)
    consumer.assign([Place(topic, 0)])
    consumer.seek_to_beginning()
    records = []
    for record in consumer:
        records.append((record.offset, record.key, record.value))
        if record.offset == end:
            break
    consumer.close()
    return records


# kafka-python reads what it has been built with: without more, none and gzip.
for topic in ("none", "gzip", "snappy", "lz4", "zstd"):
    print(topic, flush=True)
    records = with_confluent(topic)
    print(len(records), "records by librdkafka", flush=True)
    offsets = [offset for offset, _, _ in records]
    assert offsets == sorted(set(offsets)) and len({key for _, key, _ in records}) == 60, topic
    assert offsets[-1] - offsets[0] + 1 > len(offsets), "nothing is missing"
    if topic in ("none", "gzip"):
        assert with_kafka_python(topic, offsets[-1]) == records, topic
print("all well")

"""confluent-kafka (librdkafka 2) against a broker: produce, consume by assignment, administer.

Usage: confluent.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

SERVER = {"bootstrap.servers": sys.argv[1]}


def read(topic, count):
    consumer = Consumer({**SERVER, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    records = []
    while len(records) < count:
        message = consumer.poll(30)
        assert message is not None, f"{len(records)} of {count} in {topic}"
        if message.error():
            raise KafkaException(message.error())
        records.append(message)
    consumer.close()
    return records


def produce(topic, values, **settings):
    failures = []
    producer = Producer({**SERVER, **settings})
    for value in values:
        producer.produce(topic, value, key=b"k", headers={"h": b"x"},
                         on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(30) == 0
    assert not failures, failures


def variants():
    values = [b"value %d" % number for number in range(1000)]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(codec, values, **{"compression.type": codec})
        records = read(codec, len(values))
        assert [record.value() for record in records] == values, codec
        assert records[0].headers() == [("h", b"x")]
    for acks in ("0", "1", "all"):
        produce(f"acks_{acks}", values, acks=acks)
        assert [record.value() for record in read(f"acks_{acks}", len(values))] == values
    produce("idempotent", values, **{"enable.idempotence": True})
    assert [record.value() for record in read("idempotent", len(values))] == values


def administration():
    admin = AdminClient(SERVER)
    for future in admin.create_topics([NewTopic("made", 3, 1)]).values():
        future.result(30)
    assert len(admin.list_topics(timeout=30).topics["made"].partitions) == 3
    place = TopicPartition("none", 0)
    newest = max(record.timestamp()[1] for record in read("none", 1000))
    for future in admin.list_offsets({place: OffsetSpec.latest()}).values():
        assert future.result(30).offset == 1000
    for future in admin.list_offsets({place: OffsetSpec.max_timestamp()}).values():
        assert future.result(30).timestamp == newest
    for future in admin.delete_topics(["made"]).values():
        future.result(30)
    assert "made" not in admin.list_topics(timeout=30).topics


variants()
administration()
print("all well")

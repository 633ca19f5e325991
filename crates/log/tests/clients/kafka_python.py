"""kafka-python against a broker: produce, consume without a group, administer.

Usage: kafka_python.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

SERVER = sys.argv[1]


def consumer(**settings):
    return KafkaConsumer(bootstrap_servers=SERVER, consumer_timeout_ms=30_000, **settings)


def read(topic, count, partition=0, **settings):
    reader = consumer(**settings)
    place = TopicPartition(topic, partition)
    reader.assign([place])
    reader.seek_to_beginning(place)
    records = []
    for record in reader:
        records.append(record)
        if len(records) == count:
            break
    reader.close()
    return records


def simple():
    producer = KafkaProducer(bootstrap_servers=SERVER)
    for word in (b"hello", b"world"):
        producer.send("my_topic", word).get(timeout=30)
    producer.close()
    assert [record.value for record in read("my_topic", 2)] == [b"hello", b"world"]


def settings():
    variants = [
        {"acks": 0, "enable_idempotence": False},
        {"acks": 1, "enable_idempotence": False},
        {"acks": "all"},
        {"compression_type": "gzip"},
    ]
    for index, variant in enumerate(variants):
        topic = f"variant_{index}"
        producer = KafkaProducer(bootstrap_servers=SERVER, **variant)
        for number in range(100):
            producer.send(topic, key=b"k", value=b"v%d" % number, headers=[("h", b"x")])
        producer.flush(timeout=30)
        producer.close()
        records = read(topic, 100)
        assert [record.value for record in records] == [b"v%d" % n for n in range(100)], variant
        assert [record.offset for record in records] == list(range(100))
        assert records[0].key == b"k"
        assert list(records[0].headers) == [("h", b"x")]


def offsets():
    reader = consumer()
    place = TopicPartition("variant_0", 0)
    reader.assign([place])
    assert reader.beginning_offsets([place]) == {place: 0}
    assert reader.end_offsets([place]) == {place: 100}
    assert reader.offsets_for_times({place: 1})[place].offset == 0
    assert reader.partitions_for_topic("variant_0") == {0}
    reader.close()


def administration():
    admin = KafkaAdminClient(bootstrap_servers=SERVER)
    admin.create_topics([NewTopic("made", 3, 1)])
    try:
        admin.create_topics([NewTopic("made", 3, 1)])
        raise AssertionError("the topic was made twice")
    except TopicAlreadyExistsError:
        pass
    assert "made" in admin.list_topics()
    admin.delete_topics(["made"])
    assert "made" not in admin.list_topics()
    admin.close()


simple()
settings()
offsets()
administration()
print("all well")

"""confluent-kafka (librdkafka 2) against a broker: transactions committed, aborted, fenced.

Usage: transactions_confluent.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SERVER = {"bootstrap.servers": sys.argv[1]}
TOPICS = ["orders", "payments"]


def read(topic, isolation):
    """Everything a consumer is shown, up to the end it is told."""
    consumer = Consumer({**SERVER, "group.id": "unused", "enable.auto.commit": False,
                         "isolation.level": isolation, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    values = []
    while True:
        message = consumer.poll(30)
        assert message is not None, f"nothing of {topic} comes after {values}"
        if message.error():
            assert message.error().name() == "_PARTITION_EOF", message.error()
            consumer.close()
            return values
        values.append(message.value().decode())


def transactional(name):
    producer = Producer({**SERVER, "transactional.id": name})
    producer.init_transactions(30)
    return producer


def send(producer, *values):
    for topic in TOPICS:
        for value in values:
            producer.produce(topic, value.encode(), partition=0)
    assert producer.flush(30) == 0


def expect(committed, everything):
    for topic in TOPICS:
        assert read(topic, "read_committed") == committed, read(topic, "read_committed")
        assert read(topic, "read_uncommitted") == everything, read(topic, "read_uncommitted")


admin = AdminClient(SERVER)
for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS]).values():
    future.result(30)

producer = transactional("one")
producer.begin_transaction()
send(producer, "a", "b")
expect([], ["a", "b"])
producer.commit_transaction(30)
producer.begin_transaction()
send(producer, "c")
producer.abort_transaction(30)
producer.begin_transaction()
send(producer, "d")
producer.commit_transaction(30)
# The markers follow the answer: another transaction begins only after them.
producer.begin_transaction()
send(producer, "e")
producer.abort_transaction(30)
heir = transactional("one")
expect(["a", "b", "d"], ["a", "b", "c", "d", "e"])

heir.begin_transaction()
send(heir, "f")
zombie, heir = heir, transactional("one")
try:
    zombie.commit_transaction(30)
except KafkaException as error:
    assert error.args[0].fatal(), error
else:
    raise AssertionError("a zombie has committed")
heir.begin_transaction()
send(heir, "g")
heir.commit_transaction(30)
other = transactional("one")
expect(["a", "b", "d", "g"], ["a", "b", "c", "d", "e", "f", "g"])
print("all well")

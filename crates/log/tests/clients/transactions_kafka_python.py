"""kafka-python against a broker: transactions committed, aborted, fenced.

Usage: transactions_kafka_python.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

SERVER = {"bootstrap_servers": sys.argv[1]}
TOPIC = "orders"


def read(isolation):
    """Everything a consumer is shown, up to the end it is told."""
    consumer = KafkaConsumer(**SERVER, isolation_level=isolation, group_id=None,
                             auto_offset_reset="earliest")
    place = TopicPartition(TOPIC, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end = consumer.end_offsets([place])[place]
    values = []
    while consumer.position(place) < end:
        for records in consumer.poll(1000).values():
            values += [record.value.decode() for record in records]
    consumer.close()
    return values


def transactional(name):
    producer = KafkaProducer(**SERVER, transactional_id=name)
    producer.init_transactions()
    return producer


def send(producer, *values):
    for value in values:
        producer.send(TOPIC, value.encode(), partition=0).get(30)


producer = transactional("one")
producer.begin_transaction()
send(producer, "a", "b")
assert read("read_committed") == []
assert read("read_uncommitted") == ["a", "b"]
producer.commit_transaction()
producer.begin_transaction()
send(producer, "c")
producer.abort_transaction()
producer.begin_transaction()
send(producer, "d")
producer.commit_transaction()

zombie, producer = producer, transactional("one")
try:
    zombie.begin_transaction()
    send(zombie, "e")
    zombie.commit_transaction()
except KafkaError:
    pass
else:
    raise AssertionError("a zombie has committed")
assert read("read_committed") == ["a", "b", "d"], read("read_committed")
assert read("read_uncommitted")[:4] == ["a", "b", "c", "d"], read("read_uncommitted")
print("all well")

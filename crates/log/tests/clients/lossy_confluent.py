"""confluent-kafka over connections that lose answers: an idempotent and a transactional producer.

Usage: lossy_confluent.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from confluent_kafka import Producer

SERVER = {
    "bootstrap.servers": sys.argv[1],
    "linger.ms": 0,
    "batch.num.messages": 2,
    "retry.backoff.ms": 10,
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 50,
    "retries": 1000,
}


def send(producer, topic, numbers):
    failures = []
    for number in numbers:
        producer.produce(topic, b"value %d" % number, partition=0,
                         on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(60) == 0
    assert not failures, failures


def idempotent():
    producer = Producer({**SERVER, "enable.idempotence": True})
    send(producer, "idempotent", range(300))


def transactional():
    producer = Producer({**SERVER, "transactional.id": "lossy"})
    producer.init_transactions(60)
    for first in range(0, 300, 50):
        producer.begin_transaction()
        send(producer, "transactional", range(first, first + 50))
        producer.commit_transaction(60)


idempotent()
transactional()
print("all well")

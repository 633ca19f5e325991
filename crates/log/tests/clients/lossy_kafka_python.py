"""kafka-python over connections that lose answers: an idempotent and a transactional producer.

Usage: lossy_kafka_python.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from kafka import KafkaProducer

SERVER = {
    "bootstrap_servers": sys.argv[1],
    "linger_ms": 0,
    "batch_size": 64,
    "retry_backoff_ms": 10,
    "reconnect_backoff_ms": 10,
    "reconnect_backoff_max_ms": 50,
    "acks": "all",
}


def send(producer, topic, numbers):
    sent = [producer.send(topic, b"value %d" % number, partition=0) for number in numbers]
    producer.flush(60)
    for one in sent:
        one.get(60)


def idempotent():
    producer = KafkaProducer(**SERVER, enable_idempotence=True)
    send(producer, "idempotent", range(100))
    producer.close()


def transactional():
    producer = KafkaProducer(**SERVER, transactional_id="lossy")
    producer.init_transactions()
    for first in range(0, 100, 25):
        producer.begin_transaction()
        send(producer, "transactional", range(first, first + 25))
        producer.commit_transaction()
    producer.close()


idempotent()
transactional()
print("all well")

"""The Kafka port with librdkafka: produce (acks=all: fsynced) and fetch, 1 kB messages.

The client is confluent-kafka for Python in one process, so the client's own cost is in the figures;
its upper bound on this machine is measured too, by producing into a queue that nobody sends from.
Fetching uses assigned partitions: no consumer group is involved.
"""

import os
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import benchlib
import server

MESSAGES = max(5_000, int(500_000 * benchlib.SCALE))
PARTITIONS = [1, 16, 100]
VALUE = os.urandom(1_000)
QUIET = {"log_level": 2}
# Fetching that stands still for this long has failed.
STALL_SECONDS = 60


def client_bound():
    """Messages a second this client can enqueue, sending none."""
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0,
                         "queue.buffering.max.messages": 1_000_000})
    count = min(MESSAGES, 200_000)
    started = time.monotonic()
    for number in range(count):
        producer.produce("nothing", VALUE, partition=0)
    rate = count / (time.monotonic() - started)
    producer.purge()
    return rate


def produce(brokers, topic, partitions):
    """Seconds until every message was acknowledged."""
    failed = []
    def delivered(error, message):
        if error is not None:
            failed.append(error)
    producer = Producer(QUIET | {
        "bootstrap.servers": brokers, "acks": "all", "linger.ms": 5, "batch.size": 1_000_000,
        "compression.type": "none", "queue.buffering.max.messages": 200_000})
    started = time.monotonic()
    for number in range(MESSAGES):
        while True:
            try:
                producer.produce(topic, VALUE, partition=number % partitions,
                                 on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 1_000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    if failed or left:
        sys.exit(f"{len(failed)} messages failed ({failed[:1]}), {left} were left")
    return time.monotonic() - started


def fetch(brokers, topic, partitions):
    """Seconds until every message was read back."""
    consumer = Consumer(QUIET | {
        "bootstrap.servers": brokers, "group.id": "none", "enable.auto.commit": False,
        "queued.max.messages.kbytes": 262_144, "fetch.message.max.bytes": 4_000_000})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    seen, last = 0, time.monotonic()
    started = last
    while seen < MESSAGES:
        for message in consumer.consume(min(5_000, MESSAGES - seen), timeout=1):
            if message.error() is None:
                seen += 1
                last = time.monotonic()
            elif message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"fetch: {message.error()}")
        if time.monotonic() - last > STALL_SECONDS:
            sys.exit(f"fetch stands still at {seen} of {MESSAGES}")
    consumer.close()
    return last - started


def main():
    bound = client_bound()
    rows, results = [], {"client_bound_per_second": bound}
    with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as running:
        brokers = f"127.0.0.1:{running.kafka_port}"
        admin = AdminClient(QUIET | {"bootstrap.servers": brokers})
        for partitions in PARTITIONS:
            topic = f"bench-{partitions}"
            for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
                made.result(30)
            produced = MESSAGES / produce(brokers, topic, partitions)
            fetched = MESSAGES / fetch(brokers, topic, partitions)
            results[str(partitions)] = {"produce_per_second": produced,
                                        "fetch_per_second": fetched}
            rows.append([partitions, f"{produced:,.0f}", f"{produced / 1e3:,.0f} MB/s",
                         f"{fetched:,.0f}", f"{fetched / 1e3:,.0f} MB/s"])
    benchlib.show(["partitions", "produce/s, fsynced", "", "fetch/s", ""], rows)
    print(f"  this client alone enqueues {bound:,.0f} messages a second")
    benchlib.keep("kafka_port", results)


if __name__ == "__main__":
    main()

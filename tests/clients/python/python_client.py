"""The command protocol of tests/clients (see README.md) with kafka-python."""

import sys
import threading

import kafka
import kafka.errors
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic

from protocol import Outcomes, arguments, input_ended, run, say

BROKERS, ARGS = arguments()


def record(number):
    digits = str(number).encode()
    return {"key": b"k" + digits, "value": b"v" + digits, "headers": [("n", digits)],
            "partition": number % ARGS.number("partitions", 1)}


def numbers():
    first = ARGS.number("first", 0)
    return range(first, first + ARGS.number("count", 1))


def tell(message):
    headers = dict(message.headers)
    say({"partition": message.partition, "offset": message.offset,
         "key": message.key and message.key.decode(), "value": message.value and message.value.decode(),
         "n": headers["n"].decode() if "n" in headers else None})


def produce():
    compression = ARGS.text("compression", "none")
    producer = KafkaProducer(
        bootstrap_servers=BROKERS, acks="all", linger_ms=20,
        compression_type=None if compression == "none" else compression,
        enable_idempotence=ARGS.text("idempotent", "false") == "true")
    sent = [producer.send(ARGS.text("topic"), **record(number)) for number in numbers()]
    last = {}
    for one in sent:
        done = one.get(30)
        last[str(done.partition)] = max(last.get(str(done.partition), -1), done.offset)
    say({"acked": len(sent), "last": last})
    producer.close()


def partitions(consumer):
    topic = ARGS.text("topic")
    return [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]


def consume():
    consumer = KafkaConsumer(
        bootstrap_servers=BROKERS, enable_auto_commit=False, group_id=None,
        isolation_level=ARGS.text("isolation", "read_uncommitted"))
    wanted = partitions(consumer)
    consumer.assign(wanted)
    consumer.seek_to_beginning(*wanted)
    ends = consumer.end_offsets(wanted)
    while any(consumer.position(one) < ends[one] for one in wanted):
        for messages in consumer.poll(200).values():
            for message in messages:
                tell(message)
    say({"end": {str(one.partition): offset for one, offset in sorted(ends.items())}})
    consumer.close()


def group():
    assignors = {"range": kafka.coordinator.assignors.range.RangePartitionAssignor}
    settings = {"group_instance_id": ARGS.text("static")} if ARGS.has("static") else {}
    consumer = KafkaConsumer(
        ARGS.text("topic"), bootstrap_servers=BROKERS, group_id=ARGS.text("group"),
        enable_auto_commit=False, auto_offset_reset="earliest", heartbeat_interval_ms=500,
        session_timeout_ms=ARGS.number("session", 6_000),
        partition_assignment_strategy=[assignors[ARGS.text("assignor", "range")]], **settings)
    ended = threading.Event()
    threading.Thread(target=lambda: (input_ended(), ended.set()), daemon=True).start()
    before = None
    while not ended.is_set():
        polled = consumer.poll(200)
        if consumer.assignment() != before:
            before = set(consumer.assignment())
            say({"assigned": sorted(one.partition for one in before)})
        for messages in polled.values():
            for message in messages:
                tell(message)
        if polled:
            try:
                consumer.commit()
            except kafka.errors.CommitFailedError:
                say({"not committed": sum(map(len, polled.values()))})
    consumer.close()
    say({"left": True})


def transact():
    producer = KafkaProducer(
        bootstrap_servers=BROKERS, transactional_id=ARGS.text("id"),
        transaction_timeout_ms=ARGS.number("timeout", 60_000))
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for one in [producer.send(ARGS.text("topic"), **record(number)) for number in numbers()]:
            one.get(30)
        if ARGS.has("group"):
            offsets = {TopicPartition(ARGS.text("topic"), 0):
                       kafka.OffsetAndMetadata(ARGS.number("offset", 0), "", -1)}
            producer.send_offsets_to_transaction(offsets, ARGS.text("group"))
        end = ARGS.text("end", "commit")
        if end == "hang":
            say({"open": True})
            input_ended()
            end = "commit"
        if end == "commit":
            producer.commit_transaction()
        else:
            producer.abort_transaction()
        say({"ended": end})
    except (kafka.errors.ProducerFencedError, kafka.errors.InvalidProducerEpochError):
        say({"fenced": True})
    producer.close(timeout=1)


def times():
    consumer = KafkaConsumer(bootstrap_servers=BROKERS)
    found = consumer.offsets_for_times({one: ARGS.number("at", 0) for one in partitions(consumer)})
    say({"offsets": {str(one.partition): -1 if at is None else at.offset
                     for one, at in sorted(found.items())}})
    consumer.close()


def admin():
    topic = ARGS.text("topic")
    client = KafkaAdminClient(bootstrap_servers=BROKERS)
    outcome = Outcomes(lambda error: type(error).__name__)
    first = TopicPartition(topic, 0)

    def create(name, count, configs=None):
        client.create_topics([NewTopic(name, count, 1, topic_configs=configs or {})])

    def grow(count):
        client.create_partitions({topic: NewPartitions(count)})

    def count():
        return len(client.describe_topics([topic])[0]["partitions"])

    outcome("create", create, topic, 2, {"retention.ms": "3600000"})
    outcome("create again", create, topic, 2)
    outcome("create with a wrong setting", create, topic + "-x", 1, {"no.such": "1"})
    outcome("create without partitions", create, topic + "-y", 0)
    outcome("more partitions", grow, 4)
    outcome("fewer partitions", grow, 1)
    outcome("partitions", count)
    ARGS.put("count", 8)
    ARGS.put("partitions", 4)
    produce()
    outcome("delete records", lambda: client.delete_records({first: 1}) and None)
    outcome("delete too many records", lambda: client.delete_records({first: 100}) and None)
    consumer = KafkaConsumer(bootstrap_servers=BROKERS)
    outcome("earliest", lambda: consumer.beginning_offsets([first])[first])
    outcome("latest", lambda: consumer.end_offsets([first])[first])
    consumer.close()
    outcome("delete", lambda: client.delete_topics([topic]) and None)
    outcome("delete again", lambda: client.delete_topics([topic]) and None)
    client.close()


if __name__ == "__main__":
    sys.exit(run({"produce": produce, "consume": consume, "group": group, "transact": transact,
                  "times": times, "admin": admin}))

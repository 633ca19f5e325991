"""The command protocol of tests/clients (see README.md) with confluent-kafka: librdkafka."""

import sys
import threading

from confluent_kafka import (
    Consumer, KafkaError, KafkaException, Producer, TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
    ResourceType,
)

from protocol import Outcomes, arguments, input_ended, run, say

BROKERS, ARGS = arguments()
SECONDS = 30
QUIET = {"bootstrap.servers": BROKERS, "log_level": 0}


def send(producer):
    """Sends the records asked for; the last offset by partition."""
    last, failed = {}, []

    def delivered(error, message):
        if error is not None:
            failed.append(error)
        else:
            partition = str(message.partition())
            last[partition] = max(last.get(partition, -1), message.offset())

    first = ARGS.number("first", 0)
    for number in range(first, first + ARGS.number("count", 1)):
        producer.produce(
            ARGS.text("topic"), key=f"k{number}", value=f"v{number}",
            headers=[("n", str(number).encode())], on_delivery=delivered,
            partition=number % ARGS.number("partitions", 1))
    producer.flush(SECONDS)
    if failed:
        raise KafkaException(failed[0])
    return last


def tell(message):
    if message.error() is not None:
        raise KafkaException(message.error())
    headers = dict(message.headers() or [])
    text = lambda value: value and value.decode()
    say({"partition": message.partition(), "offset": message.offset(), "key": text(message.key()),
         "value": text(message.value()), "n": text(headers.get("n"))})


def produce():
    producer = Producer(QUIET | {
        "acks": "all", "linger.ms": 20, "compression.type": ARGS.text("compression", "none"),
        "enable.idempotence": ARGS.text("idempotent", "false")})
    last = send(producer)
    say({"acked": ARGS.number("count", 1), "last": last})


def partitions(consumer):
    topic = ARGS.text("topic")
    found = consumer.list_topics(topic, SECONDS).topics[topic]
    return [TopicPartition(topic, number) for number in sorted(found.partitions)]


def consume():
    consumer = Consumer(QUIET | {
        "group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": ARGS.text("isolation", "read_uncommitted")})
    wanted = partitions(consumer)
    end = {str(one.partition): consumer.get_watermark_offsets(one, SECONDS)[1] for one in wanted}
    for one in wanted:
        one.offset = 0
    consumer.assign(wanted)
    left = {one.partition for one in wanted}
    while left:
        message = consumer.poll(SECONDS)
        if message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition())
        else:
            tell(message)
    say({"end": end})
    consumer.close()


def group():
    assignor = {"range": "range", "cooperative": "cooperative-sticky"}[ARGS.text("assignor", "range")]
    settings = {"group.instance.id": ARGS.text("static")} if ARGS.has("static") else {}
    consumer = Consumer(QUIET | settings | {
        "group.id": ARGS.text("group"), "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "heartbeat.interval.ms": 500, "session.timeout.ms": ARGS.number("session", 6_000),
        "partition.assignment.strategy": assignor})
    ended = threading.Event()
    threading.Thread(target=lambda: (input_ended(), ended.set()), daemon=True).start()
    consumer.subscribe([ARGS.text("topic")])
    before = None
    while not ended.is_set():
        message = consumer.poll(0.2)
        assigned = sorted(one.partition for one in consumer.assignment())
        if assigned != before:
            before = assigned
            say({"assigned": assigned})
        if message is not None:
            tell(message)
            try:
                consumer.commit(message=message, asynchronous=False)
            except KafkaException:
                say({"not committed": 1})
    consumer.close()
    say({"left": True})


def transact():
    producer = Producer(QUIET | {
        "transactional.id": ARGS.text("id"), "transaction.timeout.ms": ARGS.number("timeout", 60_000)})
    try:
        producer.init_transactions(SECONDS)
        producer.begin_transaction()
        send(producer)
        if ARGS.has("group"):
            # librdkafka wants a consumer for its name of the group alone.
            consumer = Consumer(QUIET | {"group.id": ARGS.text("group")})
            producer.send_offsets_to_transaction(
                [TopicPartition(ARGS.text("topic"), 0, ARGS.number("offset", 0))],
                consumer.consumer_group_metadata(), SECONDS)
            consumer.close()
        end = ARGS.text("end", "commit")
        if end == "hang":
            say({"open": True})
            input_ended()
            end = "commit"
        if end == "commit":
            producer.commit_transaction(SECONDS)
        else:
            producer.abort_transaction(SECONDS)
        say({"ended": end})
    except KafkaException as error:
        if error.args[0].code() not in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED,
                                        KafkaError.INVALID_PRODUCER_EPOCH):
            raise
        say({"fenced": True})


def times():
    consumer = Consumer(QUIET | {"group.id": "none"})
    wanted = partitions(consumer)
    for one in wanted:
        one.offset = ARGS.number("at", 0)
    found = consumer.offsets_for_times(wanted, SECONDS)
    say({"offsets": {str(one.partition): one.offset for one in found}})
    consumer.close()


def admin():
    topic = ARGS.text("topic")
    client = AdminClient(QUIET)
    outcome = Outcomes(lambda error: error.args[0].name()
                       if isinstance(error, KafkaException) else type(error).__name__)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    first = TopicPartition(topic, 0)

    def done(futures):
        return [future.result(SECONDS) for future in futures.values()][0]

    def create(name, count, config=None):
        done(client.create_topics([NewTopic(name, count, 1, config=config or {})]))

    def grow(count):
        done(client.create_partitions([NewPartitions(topic, count)]))

    def retention():
        return done(client.describe_configs([resource]))["retention.ms"]

    def alter(operation, value):
        entry = ConfigEntry("retention.ms", value, incremental_operation=operation)
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        done(client.incremental_alter_configs([changed]))

    def default():
        alter(AlterConfigOpType.DELETE, None)
        return retention().is_default

    def before(offset):
        done(client.delete_records([TopicPartition(topic, 0, offset)]))

    def offset(spec):
        return done(client.list_offsets({first: spec})).offset

    def groups():
        found = client.list_consumer_groups().result(SECONDS).valid
        return sum(one.group_id.startswith(topic) for one in found)

    outcome("create", create, topic, 2, {"retention.ms": "3600000"})
    outcome("create again", create, topic, 2)
    outcome("create with a wrong setting", create, topic + "-x", 1, {"no.such": "1"})
    outcome("create without partitions", create, topic + "-y", 0)
    outcome("more partitions", grow, 4)
    outcome("fewer partitions", grow, 1)
    outcome("partitions", lambda: len(client.list_topics(topic, SECONDS).topics[topic].partitions))
    outcome("retention", lambda: retention().value)
    outcome("set retention", alter, AlterConfigOpType.SET, "7200000")
    outcome("set nonsense", alter, AlterConfigOpType.SET, "soon")
    outcome("retention now", lambda: retention().value)
    outcome("default retention", default)
    ARGS.put("count", 8)
    ARGS.put("partitions", 4)
    produce()
    outcome("delete records", before, 1)
    outcome("delete too many records", before, 100)
    outcome("earliest", offset, OffsetSpec.earliest())
    outcome("latest", offset, OffsetSpec.latest())
    outcome("groups", groups)
    outcome("nodes", lambda: len(client.describe_cluster().result(SECONDS).nodes))
    outcome("delete", lambda: done(client.delete_topics([topic])))
    outcome("delete again", lambda: done(client.delete_topics([topic])))


if __name__ == "__main__":
    sys.exit(run({"produce": produce, "consume": consume, "group": group, "transact": transact,
                  "times": times, "admin": admin}))

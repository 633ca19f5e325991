"""confluent-kafka's (librdkafka's) consumer groups against a broker.

Usage: confluent_groups.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys
import time

from confluent_kafka import (Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions,
                             KafkaException, Producer, TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic

SERVER = {"bootstrap.servers": sys.argv[1]}
PATIENCE = 45


def produce(topic, values, partition):
    failures = []
    producer = Producer(SERVER)
    for value in values:
        producer.produce(topic, value, partition=partition,
                         on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(PATIENCE) == 0
    assert not failures, failures


class Member:
    def __init__(self, group, topic, strategy, **settings):
        self.read, self.owned, self.taken, self.revoked = [], set(), 0, 0
        self.consumer = Consumer({
            **SERVER, "group.id": group, "partition.assignment.strategy": strategy,
            "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 300, "enable.auto.commit": False, **settings})
        incremental = strategy.startswith("cooperative")

        def assigned(consumer, partitions):
            self.taken += len(partitions)
            self.owned |= {p.partition for p in partitions}
            if incremental:
                consumer.incremental_assign(partitions)
            else:
                consumer.assign(partitions)

        def gone(consumer, partitions):
            self.revoked += len(partitions)
            self.owned -= {p.partition for p in partitions}
            if incremental:
                consumer.incremental_unassign(partitions)
            else:
                consumer.unassign()

        self.consumer.subscribe([topic], on_assign=assigned, on_revoke=gone, on_lost=gone)

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            self.read.append(message.value())


def until(what, happens, members=()):
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        for member in members:
            member.poll()
        if happens():
            return
        if not members:
            time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def shared_out(members, partitions):
    owned = [member.owned for member in members]
    return (all(owned) and sum(map(len, owned)) == partitions
            and set().union(*owned) == set(range(partitions)))


def make(topic, partitions):
    admin = AdminClient(SERVER)
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(PATIENCE)


def eager():
    make("eager", 6)
    members = [Member("eager", "eager", "range") for _ in range(3)]
    until("three share six", lambda: shared_out(members, 6), members)
    for partition in range(6):
        produce("eager", [b"%d" % (partition * 50 + n) for n in range(50)], partition)
    until("all is read", lambda: sum(len(m.read) for m in members) >= 300, members)
    read = sorted((value for member in members for value in member.read), key=int)
    assert read == [b"%d" % n for n in range(300)], "each record once"
    for member in members:
        member.consumer.commit(asynchronous=False)
    members.pop().consumer.close()
    until("two share six", lambda: shared_out(members, 6), members)
    committed = members[0].consumer.committed([TopicPartition("eager", p) for p in range(6)], 30)
    assert [place.offset for place in committed] == [50] * 6, committed
    for member in members:
        member.consumer.close()


def cooperative():
    make("coop", 6)
    members = [Member("coop", "coop", "cooperative-sticky")]
    until("one has all", lambda: shared_out(members, 6), members)
    members.append(Member("coop", "coop", "cooperative-sticky"))
    until("two share six", lambda: shared_out(members, 6), members)
    assert members[0].revoked == 3, "only what moves is given up"
    members.append(Member("coop", "coop", "cooperative-sticky"))
    until("three share six", lambda: shared_out(members, 6), members)
    assert sum(member.revoked for member in members) == 5, "three moved, then two"
    members.pop(0).consumer.close()
    until("two share six again", lambda: shared_out(members, 6), members)
    for member in members:
        member.consumer.close()


def static():
    make("static", 4)
    names = ["one", "two"]
    admin = AdminClient(SERVER)

    def join(name):
        return Member("static", "static", "range", **{"group.instance.id": name,
                                                      "session.timeout.ms": 30_000})

    members = [join(name) for name in names]
    until("two share four", lambda: shared_out(members, 4), members)
    kept, (taken, mine) = members[0], (members[0].taken, members[1].owned.copy())
    # A static member that closes does not leave; its next life takes its place.
    members[1].consumer.close()
    members[1] = join("two")
    until("it is back", lambda: members[1].owned == mine, members)
    assert (kept.taken, kept.revoked) == (taken, 0), "nobody else noticed"
    group = admin.describe_consumer_groups(["static"])["static"].result(PATIENCE)
    assert sorted(m.group_instance_id for m in group.members) == sorted(names)
    # Another under the same name takes the place of the first, which is told so.
    twin = join("two")
    fenced = []
    deadline = time.time() + PATIENCE
    while not fenced and time.time() < deadline:
        twin.poll()
        kept.poll()
        try:
            members[1].poll()
        except KafkaException as error:
            fenced.append(error)
    assert fenced and "FENCED" in str(fenced[0]).upper(), fenced
    for member in (kept, twin):
        member.consumer.close()


def administration():
    admin = AdminClient(SERVER)
    listed = admin.list_consumer_groups().result(PATIENCE)
    states = {group.group_id: group.state for group in listed.valid}
    assert states["eager"] == ConsumerGroupState.EMPTY, states
    filtered = admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(PATIENCE)
    assert "eager" in {group.group_id for group in filtered.valid}
    described = admin.describe_consumer_groups(["eager"])["eager"].result(PATIENCE)
    assert described.state == ConsumerGroupState.EMPTY and not described.members
    places = [TopicPartition("eager", 0, 7)]
    change = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("eager", places)])
    change["eager"].result(PATIENCE)
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("eager")])
    offsets = {p.partition: p.offset for p in asked["eager"].result(PATIENCE).topic_partitions}
    assert offsets == {0: 7, 1: 50, 2: 50, 3: 50, 4: 50, 5: 50}, offsets
    admin.delete_consumer_groups(["eager"])["eager"].result(PATIENCE)
    listed = admin.list_consumer_groups().result(PATIENCE)
    assert "eager" not in {group.group_id for group in listed.valid}
    try:
        produce("__consumer_offsets", [b"forged"], 0)
        raise AssertionError("a client wrote to the internal topic")
    except (AssertionError, KafkaException) as error:
        assert "a client wrote" not in str(error), error


eager()
cooperative()
static()
administration()
print("all well")

"""kafka-python's consumer groups against a broker.

Usage: kafka_python_groups.py HOST:PORT. Prints "all well" at the end, or fails."""

import os
import subprocess
import sys
import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

SERVER = sys.argv[1]
PATIENCE = 45
QUICK = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500, "max_poll_interval_ms": 20_000}


def produce(topic, values, partition=None):
    producer = KafkaProducer(bootstrap_servers=SERVER)
    for value in values:
        producer.send(topic, value, partition=partition)
    producer.flush(timeout=PATIENCE)
    producer.close()


def until(what, happens):
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        if happens():
            return
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def articles():
    """The programs people find in articles, unchanged but for the address."""
    producer = KafkaProducer(bootstrap_servers=SERVER)
    producer.send("my_topic", b"hello")
    producer.send("my_topic", b"world")
    producer.flush()

    consumer = KafkaConsumer("my_topic", group_id="my_group", bootstrap_servers=SERVER,
                             auto_offset_reset="earliest")
    read = []
    for message in consumer:
        read.append(message.value)
        if len(read) == 2:
            break
    consumer.close()
    assert read == [b"hello", b"world"], read

    # The group goes on where it was.
    producer.send("my_topic", b"again")
    producer.flush()
    consumer = KafkaConsumer("my_topic", group_id="my_group", bootstrap_servers=SERVER,
                             auto_offset_reset="earliest", consumer_timeout_ms=PATIENCE * 1000)
    message = next(consumer)
    assert (message.value, message.offset) == (b"again", 2), message
    consumer.close()
    producer.close()


class Member(threading.Thread):
    """A consumer in a thread of its own."""

    def __init__(self, group, topic, **settings):
        super().__init__(daemon=True)
        self.consumer = KafkaConsumer(
            topic, group_id=group, bootstrap_servers=SERVER, auto_offset_reset="earliest",
            enable_auto_commit=True, auto_commit_interval_ms=100, **{**QUICK, **settings})
        self.read, self.owned, self.leave = [], frozenset(), threading.Event()
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.leave.is_set():
                for records in self.consumer.poll(timeout_ms=100).values():
                    self.read += [record.value for record in records]
                self.owned = frozenset(p.partition for p in self.consumer.assignment())
            self.consumer.close()
        except Exception as error:
            self.error = error

    def stop(self):
        self.leave.set()
        self.join(PATIENCE)
        assert self.error is None, self.error


def shared_out(members, partitions):
    owned = [member.owned for member in members]
    return (all(owned) and sum(map(len, owned)) == partitions
            and frozenset().union(*owned) == frozenset(range(partitions)))


def three_members():
    admin = KafkaAdminClient(bootstrap_servers=SERVER)
    admin.create_topics([NewTopic("shared", 6, 1)])
    members = [Member("team", "shared") for _ in range(2)]
    # The third is a process, to be killed.
    killed = subprocess.Popen([sys.executable, os.path.abspath(__file__), SERVER, "member"])
    until("three members share six partitions", lambda: (
        [len(member.owned) for member in members] == [2, 2]))
    group = admin.describe_groups(["team"])["team"]
    assert group["group_state"] == "Stable" and len(group["members"]) == 3, group
    killed.kill()
    killed.wait()
    until("the killed member's work is taken over", lambda: shared_out(members, 6))
    values = [b"%d" % number for number in range(600)]
    for partition in range(6):
        produce("shared", values[partition * 100:(partition + 1) * 100], partition)
    until("everything is read", lambda: sum(len(member.read) for member in members) >= 600)
    read = sorted(members[0].read + members[1].read, key=int)
    assert read == values, "each record once"
    members.pop().stop()
    until("the other takes all", lambda: shared_out(members, 6))
    members.pop().stop()
    until("the group is empty", lambda: (
        admin.describe_groups(["team"])["team"]["group_state"] == "Empty"))
    offsets = admin.list_group_offsets("team")
    offsets = offsets.get("team", offsets)
    assert sum(offset.offset for offset in offsets.values()) == 600, offsets
    admin.close()


def by_hand():
    """Consumers that assign themselves commit without being members."""
    place = TopicPartition("my_topic", 0)
    consumer = KafkaConsumer(group_id="simple", bootstrap_servers=SERVER,
                             enable_auto_commit=False)
    consumer.assign([place])
    consumer.seek(place, 1)
    records = []
    while not records:
        records = consumer.poll(timeout_ms=500).get(place, [])
    consumer.commit()
    assert consumer.committed(place) == consumer.position(place) == 3
    consumer.close()
    again = KafkaConsumer(group_id="simple", bootstrap_servers=SERVER)
    again.assign([place])
    assert again.committed(place) == 3
    again.close()


def administration():
    admin = KafkaAdminClient(bootstrap_servers=SERVER)
    listed = {group["group_id"] if isinstance(group, dict) else group[0]
              for group in admin.list_groups()}
    assert {"my_group", "team", "simple"} <= listed, listed
    admin.delete_groups(["simple"])
    listed = {group["group_id"] if isinstance(group, dict) else group[0]
              for group in admin.list_groups()}
    assert "simple" not in listed, listed
    topics = admin.describe_topics(["__consumer_offsets"])
    assert topics[0]["is_internal"], topics
    admin.close()


def member():
    consumer = KafkaConsumer("shared", group_id="team", bootstrap_servers=SERVER, **QUICK)
    while True:
        consumer.poll(timeout_ms=100)


if sys.argv[2:] == ["member"]:
    member()
articles()
three_members()
by_hand()
administration()
print("all well")

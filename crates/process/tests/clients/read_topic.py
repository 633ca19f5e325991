"""kafka-python reads a topic that a pipeline writes, to its end.

Usage: read_topic.py HOST:PORT TOPIC ISOLATION. Prints one JSON line for each record, by partition:
its partition, the one kafka-python would write its key to, key, value and header names. Values and
keys are texts or null."""

import json
import sys

from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner.default import murmur2

server, topic, isolation = sys.argv[1:]


def text(data):
    return None if data is None else data.decode()


reader = KafkaConsumer(
    bootstrap_servers=server, isolation_level=isolation, enable_auto_commit=False
)
places = [TopicPartition(topic, number) for number in sorted(reader.partitions_for_topic(topic))]
reader.assign(places)
reader.seek_to_beginning(*places)
ends = reader.end_offsets(places)
records = {place: [] for place in places}
while any(reader.position(place) < ends[place] for place in places):
    for place, found in reader.poll(timeout_ms=1_000).items():
        records[place].extend(found)
reader.close()
for place in places:
    for record in records[place]:
        key_belongs = None
        if record.key is not None:
            key_belongs = (murmur2(record.key) & 0x7FFFFFFF) % len(places)
        print(
            json.dumps(
                [record.partition, key_belongs, text(record.key), text(record.value)]
                + [[name for name, _ in record.headers]]
            )
        )

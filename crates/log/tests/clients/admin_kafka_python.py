"""kafka-python's KafkaAdminClient against a broker: every call that is served.

Usage: admin_kafka_python.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

SERVER = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=SERVER)


def value(described, name):
    """A setting's value, in whichever form this release answers."""
    if isinstance(described, dict):
        described = next(iter(described.values()))
        described = next(iter(described.values())) if name not in described else described
        found = described[name]
        return found["value"] if isinstance(found, dict) else getattr(found, "value", found)
    for response in described:
        for resource in response.resources:
            for entry in resource[4]:
                if entry[0] == name:
                    return entry[1]
    raise AssertionError(f"{name} is not in {described}")


admin.create_topics([NewTopic("made", 2, 1, topic_configs={"retention.ms": "1000"})])
topic = ConfigResource(ConfigResourceType.TOPIC, "made")
assert value(admin.describe_configs([topic]), "retention.ms") == "1000"
admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "made", configs={"segment.bytes": "4096"})])
assert value(admin.describe_configs([topic]), "segment.bytes") == "4096"
assert value(admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")], config_filter="all"), "broker.id") == "1"

admin.create_partitions({"made": NewPartitions(4)})
described = admin.describe_topics(["made"])
assert len(described[0]["partitions"]) == 4, described

producer = KafkaProducer(bootstrap_servers=SERVER)
for number in range(100):
    producer.send("deleted", b"%d" % number, partition=0)
producer.flush(timeout=30)
producer.close()
place = TopicPartition("deleted", 0)
admin.delete_records({place: 40})
consumer = KafkaConsumer(bootstrap_servers=SERVER, consumer_timeout_ms=30_000)
consumer.assign([place])
consumer.seek_to_beginning(place)
assert next(consumer).value == b"40"
assert consumer.beginning_offsets([place]) == {place: 40}
consumer.close()

cluster = admin.describe_cluster()
assert cluster["cluster_id"] == "tradewind", cluster
assert admin.describe_log_dirs()
admin.delete_topics(["made"])
admin.close()
print("all well")

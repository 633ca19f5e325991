"""confluent-kafka's AdminClient (librdkafka 2) against a broker: every call that is served.

Usage: admin_confluent.py HOST:PORT. Prints "all well" at the end, or fails."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import ElectionType, KafkaError
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
    OffsetSpec, ResourceType,
)

SERVER = {"bootstrap.servers": sys.argv[1]}
admin = AdminClient(SERVER)


def done(futures):
    return [future.result(30) for future in futures.values()]


def refused(futures, code):
    try:
        done(futures)
    except KafkaException as error:
        assert error.args[0].code() == code, error
        return error.args[0].str()
    raise AssertionError("it was not refused")


def settings():
    done(admin.create_topics([NewTopic("made", 2, 1, config={"retention.ms": "1000"})]))
    topic = ConfigResource(ResourceType.TOPIC, "made")
    [configs] = done(admin.describe_configs([topic]))
    assert configs["retention.ms"].value == "1000", configs["retention.ms"]
    assert not configs["retention.ms"].is_default and configs["segment.ms"].is_default
    assert configs["retention.ms"].synonyms
    step = ConfigEntry("retention.ms", "2000", incremental_operation=AlterConfigOpType.SET)
    grow = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND)
    done(admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, "made", incremental_configs=[step, grow])]))
    [configs] = done(admin.describe_configs([topic]))
    assert configs["retention.ms"].value == "2000"
    assert set(configs["cleanup.policy"].value.split(",")) == {"delete", "compact"}
    done(admin.alter_configs(
        [ConfigResource(ResourceType.TOPIC, "made", set_config={"segment.bytes": "4096"})]))
    [configs] = done(admin.describe_configs([topic]))
    assert configs["segment.bytes"].value == "4096" and configs["retention.ms"].is_default
    wrong = ConfigEntry("nonsense", "1", incremental_operation=AlterConfigOpType.SET)
    said = refused(admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, "made", incremental_configs=[wrong])]),
        KafkaError.INVALID_CONFIG)
    assert "nonsense" in said, said
    [broker] = done(admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]))
    assert broker["broker.id"].value == "1" and broker["broker.id"].is_read_only


def partitions():
    done(admin.create_partitions([NewPartitions("made", 4)]))
    assert len(admin.list_topics(timeout=30).topics["made"].partitions) == 4
    refused(admin.create_partitions([NewPartitions("made", 1)]), KafkaError.INVALID_PARTITIONS)


def records():
    producer = Producer(SERVER)
    for number in range(100):
        producer.produce("deleted", b"%d" % number, partition=0)
    assert producer.flush(30) == 0
    place = TopicPartition("deleted", 0, 40)
    [result] = done(admin.delete_records([place]))
    assert result.low_watermark == 40, result
    [earliest] = done(admin.list_offsets({TopicPartition("deleted", 0): OffsetSpec.earliest()}))
    assert earliest.offset == 40
    consumer = Consumer({**SERVER, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition("deleted", 0, OFFSET_BEGINNING)])
    message = consumer.poll(30)
    assert message.value() == b"40", message.value()
    consumer.close()


def descriptions():
    cluster = admin.describe_cluster().result(30)
    assert cluster.cluster_id == "tradewind" and [node.id for node in cluster.nodes] == [1]
    elected = admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("made", 0)]).result(30)
    assert [error.code() for error in elected.values()] == [KafkaError.ELECTION_NOT_NEEDED], elected
    from confluent_kafka import TopicCollection
    [topic] = done(admin.describe_topics(TopicCollection(["made"])))
    assert len(topic.partitions) == 4 and topic.topic_id is not None


settings()
partitions()
records()
descriptions()
print("all well")

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "my_topic",
    group_id="my_group",
    bootstrap_servers="localhost:9092",
    auto_offset_reset="earliest",
)
for message in consumer:
    print(message.value.decode("utf-8"), flush=True)

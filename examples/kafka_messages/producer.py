from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers="localhost:9092")
producer.send("my_topic", b"hello")
producer.send("my_topic", b"world")
producer.flush()
producer.close()

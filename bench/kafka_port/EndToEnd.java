/*
 * From a producer's send to a consumer's poll: one program that does both, with Kafka's own client.
 *
 * Records are sent at a steady rate by the clock, not when the one before was answered, and each
 * carries the moment it SHOULD have been sent, so that a broker that stands still is charged for
 * every record that waits meanwhile. Partitions are assigned; no group is involved. The first
 * second is not counted.
 *
 * Arguments: brokers, topic, partitions, bytes of a record, records a second, seconds.
 * Prints: sent, received, records received a second, p50, p99 and most, milliseconds.
 */

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class EndToEnd {
    static final long WARM_UP_NANOS = 1_000_000_000L;
    static final long PATIENCE_NANOS = 30_000_000_000L;

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], topic = arguments[1];
        int partitions = Integer.parseInt(arguments[2]), bytes = Integer.parseInt(arguments[3]);
        long rate = Long.parseLong(arguments[4]), seconds = Long.parseLong(arguments[5]);
        long wanted = rate * seconds;
        int[] micros = new int[(int) wanted];
        AtomicLong failed = new AtomicLong();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(brokers, topic, partitions);
                KafkaProducer<byte[], byte[]> producer = producer(brokers)) {
            producer.partitionsFor(topic);
            long started = System.nanoTime();
            Thread sender = new Thread(() -> send(producer, topic, bytes, rate, wanted, started, failed));
            sender.start();
            int received = 0, counted = 0;
            long last = started;
            while (received < wanted && System.nanoTime() - last < PATIENCE_NANOS) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    last = System.nanoTime();
                    long due = ByteBuffer.wrap(record.value()).getLong();
                    received++;
                    if (due - started >= WARM_UP_NANOS) {
                        micros[counted++] = (int) Math.min(Integer.MAX_VALUE, (last - due) / 1_000);
                    }
                }
            }
            sender.join();
            if (received < wanted || failed.get() > 0 || counted == 0) {
                System.err.println(received + " of " + wanted + " received, " + failed + " failed");
                System.exit(1);
            }
            Arrays.sort(micros, 0, counted);
            System.out.printf("%d %d %.1f %.3f %.3f %.3f%n", wanted, received,
                received / ((last - started) / 1e9), micros[counted / 2] / 1e3,
                micros[(int) (counted * 0.99)] / 1e3, micros[counted - 1] / 1e3);
        }
    }

    static void send(KafkaProducer<byte[], byte[]> producer, String topic, int bytes, long rate,
            long wanted, long started, AtomicLong failed) {
        for (long number = 0; number < wanted; number++) {
            long due = started + number * 1_000_000_000L / rate;
            long early = due - System.nanoTime();
            if (early > 0) {
                java.util.concurrent.locks.LockSupport.parkNanos(early);
            }
            byte[] value = new byte[bytes];
            ByteBuffer.wrap(value).putLong(due);
            producer.send(new ProducerRecord<>(topic, value), (sent, error) -> {
                if (error != null) {
                    failed.incrementAndGet();
                }
            });
        }
        producer.flush();
    }

    static KafkaProducer<byte[], byte[]> producer(String brokers) {
        Properties set = new Properties();
        set.put("bootstrap.servers", brokers);
        set.put("acks", "all");
        // Nobody who measures latency waits for more records to come.
        set.put("linger.ms", "0");
        return new KafkaProducer<>(set, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String brokers, String topic, int partitions) {
        Properties set = new Properties();
        set.put("bootstrap.servers", brokers);
        set.put("enable.auto.commit", "false");
        set.put("auto.offset.reset", "latest");
        KafkaConsumer<byte[], byte[]> consumer =
            new KafkaConsumer<>(set, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        consumer.assign(all);
        // Positions are decided now, before anything is sent.
        for (TopicPartition partition : all) {
            consumer.position(partition);
        }
        return consumer;
    }
}

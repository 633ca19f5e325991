/*
 * From a producer's send to a consumer's poll: one program that does both, with Kafka's own client.
 *
 * Records are sent at a steady rate by the clock, not when the one before was answered, and each
 * carries the moment it SHOULD have been sent, so that a broker that stands still is charged for
 * every record that waits meanwhile. Partitions are assigned; no group is involved. The first
 * second is not counted. At a rate of 0 they are sent as fast as the producer takes them, for that
 * time: what then arrives is what the broker, with these clients beside it, can carry.
 *
 * Arguments: brokers, topic, partitions, bytes of a record, records a second, seconds.
 * Prints: records received a second, and at a given rate p50 and p99, milliseconds.
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
        long wanted = rate > 0 ? rate * seconds : Long.MAX_VALUE;
        int[] micros = new int[rate > 0 ? (int) wanted : 0];
        AtomicLong failed = new AtomicLong(), sent = new AtomicLong(wanted);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(brokers, topic, partitions);
                KafkaProducer<byte[], byte[]> producer = producer(brokers)) {
            producer.partitionsFor(topic);
            long started = System.nanoTime();
            long until = started + seconds * 1_000_000_000L;
            Thread sender = new Thread(() -> sent.set(rate > 0
                ? send(producer, topic, bytes, rate, wanted, started, failed)
                : sendAll(producer, topic, bytes, until, failed)));
            sender.start();
            int received = 0, counted = 0;
            long last = started;
            while (received < sent.get() && System.nanoTime() - last < PATIENCE_NANOS) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    last = System.nanoTime();
                    long due = ByteBuffer.wrap(record.value()).getLong();
                    received++;
                    if (rate > 0 && due - started >= WARM_UP_NANOS) {
                        micros[counted++] = (int) Math.min(Integer.MAX_VALUE, (last - due) / 1_000);
                    }
                }
            }
            sender.join();
            if (received < sent.get() || failed.get() > 0 || (rate > 0 && counted == 0)) {
                System.err.println(received + " of " + sent + " received, " + failed + " failed");
                System.exit(1);
            }
            if (rate == 0) {
                System.out.printf("%.1f%n", received / ((last - started) / 1e9));
                return;
            }
            Arrays.sort(micros, 0, counted);
            System.out.printf("%.1f %.3f %.3f%n",
                received / ((last - started) / 1e9), micros[counted / 2] / 1e3,
                micros[(int) (counted * 0.99)] / 1e3);
        }
    }

    /** What was sent by the clock. */
    static long send(KafkaProducer<byte[], byte[]> producer, String topic, int bytes, long rate,
            long wanted, long started, AtomicLong failed) {
        for (long number = 0; number < wanted; number++) {
            long due = started + number * 1_000_000_000L / rate;
            long early = due - System.nanoTime();
            if (early > 0) {
                java.util.concurrent.locks.LockSupport.parkNanos(early);
            }
            sendOne(producer, topic, bytes, due, failed);
        }
        producer.flush();
        return wanted;
    }

    /** What was sent until then. */
    static long sendAll(KafkaProducer<byte[], byte[]> producer, String topic, int bytes,
            long until, AtomicLong failed) {
        long number = 0;
        for (long now = System.nanoTime(); now < until; now = System.nanoTime()) {
            sendOne(producer, topic, bytes, now, failed);
            number++;
        }
        producer.flush();
        return number;
    }

    static void sendOne(KafkaProducer<byte[], byte[]> producer, String topic, int bytes, long due,
            AtomicLong failed) {
        byte[] value = new byte[bytes];
        ByteBuffer.wrap(value).putLong(due);
        producer.send(new ProducerRecord<>(topic, value), (sent, error) -> {
            if (error != null) {
                failed.incrementAndGet();
            }
        });
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

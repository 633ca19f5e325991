// The command protocol of tests/clients (see README.md) with Apache Kafka's own Java client.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Client {
    static String brokers;
    static Map<String, String> arguments = new HashMap<>();

    public static void main(String[] args) throws Exception {
        brokers = args[0];
        for (String argument : Arrays.copyOfRange(args, 2, args.length)) {
            int equals = argument.indexOf('=');
            arguments.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        switch (args[1]) {
            case "produce" -> produce();
            case "consume" -> consume();
            case "group" -> group();
            case "transact" -> transact();
            case "times" -> times();
            case "admin" -> admin();
            default -> throw new IllegalArgumentException(args[1]);
        }
    }

    static String text(String name, String otherwise) {
        return arguments.getOrDefault(name, otherwise);
    }

    static int number(String name, int otherwise) {
        return Integer.parseInt(text(name, String.valueOf(otherwise)));
    }

    static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static String quoted(String text) {
        return text == null ? "null" : "\"" + text + "\"";
    }

    static String offsets(Map<Integer, Long> offsets) {
        StringJoiner joined = new StringJoiner(", ", "{", "}");
        new TreeMap<>(offsets).forEach((partition, offset) ->
            joined.add(quoted(String.valueOf(partition)) + ": " + offset));
        return joined.toString();
    }

    static Map<String, Object> settings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", brokers);
        settings.put("key.serializer", StringSerializer.class);
        settings.put("value.serializer", StringSerializer.class);
        settings.put("key.deserializer", StringDeserializer.class);
        settings.put("value.deserializer", StringDeserializer.class);
        return settings;
    }

    static ProducerRecord<String, String> record(int number, int partitions) {
        ProducerRecord<String, String> record = new ProducerRecord<>(
            text("topic", ""), number % partitions, "k" + number, "v" + number);
        record.headers().add("n", String.valueOf(number).getBytes());
        return record;
    }

    static void produce() throws Exception {
        Map<String, Object> settings = settings();
        settings.put("acks", "all");
        settings.put("compression.type", text("compression", "none"));
        settings.put("enable.idempotence", Boolean.valueOf(text("idempotent", "false")));
        settings.put("linger.ms", 20);
        int first = number("first", 0), count = number("count", 1);
        Map<Integer, Long> last = new TreeMap<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = first; number < first + count; number++) {
                sent.add(producer.send(record(number, number("partitions", 1))));
            }
            for (var one : sent) {
                RecordMetadata done = one.get();
                last.merge(done.partition(), done.offset(), Math::max);
            }
        }
        say("{\"acked\": " + count + ", \"last\": " + offsets(last) + "}");
    }

    static void tell(ConsumerRecord<String, String> record) {
        var header = record.headers().lastHeader("n");
        String n = header == null ? null : new String(header.value());
        say("{\"partition\": " + record.partition() + ", \"offset\": " + record.offset()
            + ", \"key\": " + quoted(record.key()) + ", \"value\": " + quoted(record.value())
            + ", \"n\": " + quoted(n) + "}");
    }

    static void consume() {
        Map<String, Object> settings = settings();
        settings.put("isolation.level", text("isolation", "read_uncommitted"));
        settings.put("enable.auto.commit", false);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(text("topic", "")).forEach(one ->
                partitions.add(new TopicPartition(one.topic(), one.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    tell(record);
                }
            }
            Map<Integer, Long> end = new TreeMap<>();
            ends.forEach((partition, offset) -> end.put(partition.partition(), offset));
            say("{\"end\": " + offsets(end) + "}");
        }
    }

    static void group() {
        Map<String, Object> settings = settings();
        settings.put("group.id", text("group", ""));
        settings.put("enable.auto.commit", false);
        settings.put("auto.offset.reset", "earliest");
        settings.put("session.timeout.ms", number("session", 6_000));
        settings.put("heartbeat.interval.ms", 500);
        if (arguments.containsKey("static")) {
            settings.put("group.instance.id", text("static", ""));
        }
        settings.put("partition.assignment.strategy", text("assignor", "range").equals("range")
            ? RangeAssignor.class.getName() : CooperativeStickyAssignor.class.getName());
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings);
        Thread closer = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException ended) {
                // The one who reads us is gone.
            }
            consumer.wakeup();
        });
        closer.setDaemon(true);
        closer.start();
        Runnable assigned = () -> {
            StringJoiner joined = new StringJoiner(", ");
            consumer.assignment().stream().map(TopicPartition::partition).sorted()
                .forEach(one -> joined.add(String.valueOf(one)));
            say("{\"assigned\": [" + joined + "]}");
        };
        consumer.subscribe(List.of(text("topic", "")));
        Set<TopicPartition> before = null;
        try {
            while (true) {
                var records = consumer.poll(Duration.ofMillis(200));
                if (!consumer.assignment().equals(before)) {
                    before = new HashSet<>(consumer.assignment());
                    assigned.run();
                }
                records.forEach(Client::tell);
                try {
                    if (!records.isEmpty()) {
                        consumer.commitSync();
                    }
                } catch (RebalanceInProgressException | CommitFailedException lost) {
                    say("{\"not committed\": " + records.count() + "}");
                }
            }
        } catch (WakeupException asked) {
            consumer.close();
            say("{\"left\": true}");
        }
    }

    static void transact() throws Exception {
        Map<String, Object> settings = settings();
        settings.put("transactional.id", text("id", ""));
        settings.put("transaction.timeout.ms", number("timeout", 60_000));
        int first = number("first", 0), count = number("count", 1);
        String end = text("end", "commit");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            producer.initTransactions();
            producer.beginTransaction();
            List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = first; number < first + count; number++) {
                sent.add(producer.send(record(number, number("partitions", 1))));
            }
            producer.flush();
            for (var one : sent) {
                one.get();
            }
            if (arguments.containsKey("group")) {
                producer.sendOffsetsToTransaction(
                    Map.of(new TopicPartition(text("topic", ""), 0),
                        new OffsetAndMetadata(number("offset", 0))),
                    new ConsumerGroupMetadata(text("group", "")));
            }
            if (end.equals("hang")) {
                say("{\"open\": true}");
                while (System.in.read() >= 0) { }
                end = "commit";
            }
            if (end.equals("commit")) {
                producer.commitTransaction();
            } else {
                producer.abortTransaction();
            }
            say("{\"ended\": " + quoted(end) + "}");
        } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
            say("{\"fenced\": true}");
        }
    }

    static void times() {
        Map<String, Object> settings = settings();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            Map<TopicPartition, Long> wanted = new HashMap<>();
            consumer.partitionsFor(text("topic", "")).forEach(one ->
                wanted.put(new TopicPartition(one.topic(), one.partition()),
                    Long.parseLong(text("at", "0"))));
            Map<Integer, Long> found = new TreeMap<>();
            consumer.offsetsForTimes(wanted).forEach((partition, offset) ->
                found.put(partition.partition(), offset == null ? -1 : offset.offset()));
            say("{\"offsets\": " + offsets(found) + "}");
        }
    }

    interface Call {
        Object run() throws Exception;
    }

    /// Says what a call answers, or by which error it fails.
    static void outcome(String name, Call call) throws Exception {
        String result;
        try {
            result = quoted(String.valueOf(call.run()));
        } catch (ExecutionException failed) {
            result = quoted(failed.getCause().getClass().getSimpleName());
        }
        say("{\"call\": " + quoted(name) + ", \"answer\": " + result + "}");
    }

    static void admin() throws Exception {
        String topic = text("topic", "");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
            NewTopic made = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "3600000"));
            outcome("create", () -> admin.createTopics(List.of(made)).all().get());
            outcome("create again", () -> admin.createTopics(List.of(made)).all().get());
            outcome("create with a wrong setting", () -> admin.createTopics(List.of(
                new NewTopic(topic + "-x", 1, (short) 1).configs(Map.of("no.such", "1")))).all().get());
            outcome("create without partitions", () -> admin.createTopics(List.of(
                new NewTopic(topic + "-y", 0, (short) 1))).all().get());
            outcome("more partitions", () -> admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(4))).all().get());
            outcome("fewer partitions", () -> admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(1))).all().get());
            outcome("partitions", () -> admin.describeTopics(List.of(topic)).allTopicNames().get()
                .get(topic).partitions().size());
            outcome("retention", () -> admin.describeConfigs(List.of(resource)).all().get()
                .get(resource).get("retention.ms").value());
            outcome("set retention", () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET))))
                .all().get());
            outcome("set nonsense", () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET))))
                .all().get());
            outcome("retention now", () -> admin.describeConfigs(List.of(resource)).all().get()
                .get(resource).get("retention.ms").value());
            outcome("default retention", () -> {
                admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
                    new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE)))).all().get();
                return admin.describeConfigs(List.of(resource)).all().get()
                    .get(resource).get("retention.ms").isDefault();
            });
            arguments.put("count", "8");
            arguments.put("partitions", "4");
            produce();
            outcome("delete records", () -> admin.deleteRecords(
                Map.of(partition, RecordsToDelete.beforeOffset(1))).all().get());
            outcome("delete too many records", () -> admin.deleteRecords(
                Map.of(partition, RecordsToDelete.beforeOffset(100))).all().get());
            outcome("earliest", () -> admin.listOffsets(Map.of(partition, OffsetSpec.earliest()))
                .all().get().get(partition).offset());
            outcome("latest", () -> admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                .all().get().get(partition).offset());
            outcome("groups", () -> admin.listGroups().all().get().stream()
                .filter(group -> group.groupId().startsWith(topic)).count());
            outcome("nodes", () -> admin.describeCluster().nodes().get().size());
            outcome("delete", () -> admin.deleteTopics(List.of(topic)).all().get());
            outcome("delete again", () -> admin.deleteTopics(List.of(topic)).all().get());
        }
    }
}

// The command protocol of tests/clients (see README.md) with KafkaJS, which knows gzip and, by a
// package, snappy.

const {
  CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel,
} = require("kafkajs");
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");

const [brokers, command, ...rest] = process.argv.slice(2);
const args = Object.fromEntries(rest.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]));
const text = (name, otherwise) => args[name] ?? otherwise;
const number = (name, otherwise) => Number(text(name, otherwise));
const say = (line) => console.log(JSON.stringify(line));
const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });

const messages = () => {
  const made = [];
  for (let n = number("first", 0); n < number("first", 0) + number("count", 1); n++) {
    made.push({
      key: `k${n}`, value: `v${n}`, partition: n % number("partitions", 1), headers: { n: `${n}` },
    });
  }
  return made;
};

const tell = (partition, message) => say({
  partition, offset: Number(message.offset), key: message.key?.toString() ?? null,
  value: message.value?.toString() ?? null, n: message.headers?.n?.toString() ?? null,
});

const inputEnded = () => new Promise((resolve) => {
  process.stdin.on("end", resolve);
  process.stdin.resume();
});

async function produce() {
  const codecs = { none: 0, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy };
  const producer = kafka.producer({ idempotent: text("idempotent", "false") === "true" });
  await producer.connect();
  const sent = messages();
  const done = await producer.send({
    topic: text("topic"), messages: sent, acks: -1, compression: codecs[text("compression", "none")],
  });
  const last = {};
  for (const one of done) {
    const count = sent.filter((message) => message.partition === one.partition).length;
    last[one.partition] = Number(one.baseOffset) + count - 1;
  }
  say({ acked: sent.length, last });
  await producer.disconnect();
}

async function consume() {
  const topic = text("topic");
  const admin = kafka.admin();
  await admin.connect();
  const listed = await admin.fetchTopicOffsets(topic);
  const end = Object.fromEntries(listed.map((one) => [one.partition, Number(one.high)]));
  const left = new Map(listed.filter((one) => Number(one.low) < Number(one.high))
    .map((one) => [one.partition, Number(one.high)]));
  // KafkaJS reads in groups alone.
  const groupId = `${topic}-reader-${process.pid}`;
  const consumer = kafka.consumer({
    groupId, readUncommitted: text("isolation", "read_uncommitted") === "read_uncommitted",
    maxWaitTimeInMs: 200,
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve) => {
    if (left.size === 0) {
      resolve();
    }
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      // A batch that is only markers and aborted records is passed over, and says so here.
      if (Number(payload.lastOffset) + 1 >= left.get(payload.partition)) {
        left.delete(payload.partition);
      }
      if (left.size === 0) {
        resolve();
      }
    });
    consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        batch.messages.forEach((message) => tell(batch.partition, message));
      },
    });
  });
  await consumer.disconnect();
  await admin.deleteGroups([groupId]);
  await admin.disconnect();
  say({ end });
}

async function group() {
  const consumer = kafka.consumer({
    groupId: text("group"), sessionTimeout: number("session", 6000), heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
  });
  await consumer.connect();
  await consumer.subscribe({ topic: text("topic"), fromBeginning: true });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    say({ assigned: payload.memberAssignment[text("topic")] ?? [] });
  });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      tell(partition, message);
      const offset = (BigInt(message.offset) + 1n).toString();
      try {
        await consumer.commitOffsets([{ topic, partition, offset }]);
      } catch {
        say({ "not committed": 1 });
      }
    },
  });
  await inputEnded();
  await consumer.disconnect();
  say({ left: true });
}

async function transact() {
  const producer = kafka.producer({
    transactionalId: text("id"), idempotent: true, maxInFlightRequests: 1,
    transactionTimeout: number("timeout", 60000), retry: { retries: 3 },
  });
  await producer.connect();
  try {
    const transaction = await producer.transaction();
    await transaction.send({ topic: text("topic"), messages: messages(), acks: -1 });
    if (args.group) {
      await transaction.sendOffsets({
        consumerGroupId: args.group,
        topics: [{ topic: text("topic"), partitions: [{ partition: 0, offset: text("offset", "0") }] }],
      });
    }
    let end = text("end", "commit");
    if (end === "hang") {
      say({ open: true });
      await inputEnded();
      end = "commit";
    }
    await (end === "commit" ? transaction.commit() : transaction.abort());
    say({ ended: end });
  } catch (error) {
    const type = error.type ?? error.cause?.type;
    if (!["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"].includes(type)) {
      throw error;
    }
    say({ fenced: true });
  }
  await producer.disconnect();
}

async function times() {
  const admin = kafka.admin();
  await admin.connect();
  const topic = text("topic");
  const listed = await admin.fetchTopicOffsetsByTimestamp(topic, number("at", 0));
  const ends = await admin.fetchTopicOffsets(topic);
  // Where nothing is as young KafkaJS gives the end.
  const found = listed.map((one) => {
    const end = ends.find((other) => other.partition === one.partition).high;
    return [one.partition, one.offset === end ? -1 : Number(one.offset)];
  });
  say({ offsets: Object.fromEntries(found) });
  await admin.disconnect();
}

async function admin() {
  const topic = text("topic");
  const client = kafka.admin({ retry: { retries: 1 } });
  await client.connect();
  const outcome = async (name, call) => {
    let answer;
    try {
      answer = (await call()) ?? null;
    } catch (error) {
      const first = error.errors?.[0] ?? error;
      answer = first.type ?? first.name;
    }
    say({ call: name, answer });
  };
  const create = (topic, numPartitions, configEntries = []) => client.createTopics({
    topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }],
  });
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  const retention = async () => {
    const found = await client.describeConfigs({ resources: [{ ...resource, configNames: ["retention.ms"] }] });
    return found.resources[0].configEntries[0];
  };
  const set = (value) => client.alterConfigs({
    resources: [{ ...resource, configEntries: [{ name: "retention.ms", value }] }],
  });
  const grow = (count) => client.createPartitions({ topicPartitions: [{ topic, count }] });
  const before = (offset) => client.deleteTopicRecords({
    topic, partitions: [{ partition: 0, offset }],
  });
  const offsets = async () => (await client.fetchTopicOffsets(topic)).find((one) => one.partition === 0);
  await outcome("create", () => create(topic, 2, [{ name: "retention.ms", value: "3600000" }]));
  await outcome("create again", () => create(topic, 2));
  await outcome("create with a wrong setting", () => create(`${topic}-x`, 1, [{ name: "no.such", value: "1" }]));
  await outcome("create without partitions", () => create(`${topic}-y`, 0));
  await outcome("more partitions", () => grow(4));
  await outcome("fewer partitions", () => grow(1));
  await outcome("partitions", async () => (
    await client.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length);
  await outcome("retention", async () => (await retention()).configValue);
  await outcome("set retention", async () => { await set("7200000"); });
  await outcome("set nonsense", async () => { await set("soon"); });
  await outcome("retention now", async () => (await retention()).configValue);
  args.count = "8";
  args.partitions = "4";
  await produce();
  await outcome("delete records", () => before("1"));
  await outcome("delete too many records", () => before("100"));
  await outcome("earliest", async () => (await offsets()).low);
  await outcome("latest", async () => (await offsets()).high);
  await outcome("groups", async () => (
    await client.listGroups()).groups.filter((one) => one.groupId.startsWith(topic)).length);
  await outcome("nodes", async () => (await client.describeCluster()).brokers.length);
  await outcome("delete", () => client.deleteTopics({ topics: [topic] }));
  await outcome("delete again", () => client.deleteTopics({ topics: [topic] }));
  await client.disconnect();
}

const commands = { produce, consume, group, transact, times, admin };
commands[command]().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});

"""The Kafka port beside Apache Kafka: produce, consume, and the time from one to the other.

Three brokers in one run, each measured while the other two are idle: ours (every acknowledged record
is fsynced), Apache Kafka as it comes (acknowledged from the page cache), and Apache Kafka told to
fsync what it acknowledges (`log.flush.interval.messages=1`). The clients are Kafka's own programs
(ProducerPerformance, ConsumerPerformance; acks=all, idempotent as they come) with the same settings
for all three, on the same machine: their cost is in every figure. The systems take turns within each
case, and what one of them left unwritten is written out before the next one begins.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import statistics
import subprocess
import sys

from confluent_kafka.admin import AdminClient, NewTopic

import apache_kafka
import benchlib
import server

OURS, KAFKA, KAFKA_FSYNC = "tradewind", "kafka", "kafka, fsync"
TURNS = int(os.environ.get("TRADEWIND_BENCH_TURNS", "2"))
PARTITIONS = [1, 16, 100]
# Bytes of a record: records sent. Some seconds for whoever is fast.
SIZES = {100: 4_000_000, 1_000: 800_000}
# A broker that fsyncs every batch is not made to send as much as one that does not.
FSYNC_SHARE = 0.1
# Settings people use who want throughput; the rest is the client's default.
PRODUCER = ["acks=all", "batch.size=131072", "linger.ms=5", "buffer.memory=67108864"]
LATENCY_PARTITIONS = 16
LATENCY_SECONDS = max(3, int(15 * benchlib.SCALE))
HEAP = "-Xmx512m"


@dataclasses.dataclass
class Broker:
    """What the bench asks of a running broker."""
    port: int
    pid: int


def printed(*command):
    """What a program of Kafka's prints."""
    started = apache_kafka.java("kafka-tools", benchlib.FOLDER, [HEAP], *command)
    done = subprocess.run(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        said = done.stdout[-2000:] + done.stderr[-2000:]
        sys.exit(f"{command[0]} failed with {done.returncode}\n{said}")
    return done.stdout


def produced(broker, topic, records, size):
    """Records a second, all acknowledged."""
    said = printed("org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
                   "--num-records", records, "--record-size", size, "--throughput", -1,
                   "--producer-props", f"bootstrap.servers=127.0.0.1:{broker.port}", *PRODUCER)
    last = said.strip().splitlines()[-1]
    sent, rate = re.match(r"(\d+) records sent, ([\d.]+) records/sec", last).groups()
    if int(sent) != records:
        sys.exit(f"{sent} of {records} records were sent: {last}")
    return float(rate)


def consumed(broker, topic, records):
    """Records a second while fetching, joining the group left out."""
    said = printed("org.apache.kafka.tools.ConsumerPerformance", "--topic", topic,
                   "--bootstrap-server", f"127.0.0.1:{broker.port}", "--messages", records,
                   "--timeout", 60_000)
    lines = [line.split(", ") for line in said.strip().splitlines() if ", " in line]
    row = dict(zip((name.strip() for name in lines[0]), lines[-1]))
    if int(row["data.consumed.in.nMsg"]) < records:
        sys.exit(f"{row['data.consumed.in.nMsg']} of {records} records were read: {said}")
    return float(row["fetch.nMsg.sec"])


def end_to_end(broker, topic, size, rate):
    """What the program beside this one prints: figures, at a rate of 0 the one."""
    program = pathlib.Path(__file__).with_name("EndToEnd.java")
    said = printed(program, f"127.0.0.1:{broker.port}", topic, LATENCY_PARTITIONS, size, rate,
                   LATENCY_SECONDS)
    return [float(figure) for figure in said.split()]


@contextlib.contextmanager
def topic_of(broker, partitions):
    """A topic for one measurement; before it, what others left in the page cache is written."""
    os.sync()
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}", "log_level": 2})
    name = f"bench-{partitions}-{os.urandom(4).hex()}"
    for made in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        made.result(60)
    yield name
    for gone in admin.delete_topics([name]).values():
        gone.result(60)


def throughput(brokers, size, partitions):
    """By system: (produced, consumed) records a second, the medians of the turns."""
    rates = {name: [] for name in brokers}
    for _ in range(TURNS):
        for name, broker in brokers.items():
            share = FSYNC_SHARE if name == KAFKA_FSYNC else 1
            records = max(10_000, int(SIZES[size] * benchlib.SCALE * share))
            with topic_of(broker, partitions) as topic:
                rate = produced(broker, topic, records, size)
                rates[name].append((rate, consumed(broker, topic, records)))
    return {name: tuple(statistics.median(side) for side in zip(*turns))
            for name, turns in rates.items()}


def measure_throughput(brokers):
    """Prints and returns every case's rates."""
    rows, results = [], {}
    for size in SIZES:
        for partitions in PARTITIONS:
            rates = throughput(brokers, size, partitions)
            results[f"{size}/{partitions}"] = rates
            for side, name in enumerate(["produce", "consume"]):
                values = [rates[system][side] for system in brokers]
                rows.append([f"{name}, {size} B, {partitions} partitions",
                             *(f"{value:,.0f}" for value in values),
                             *(f"{values[0] / value:.2f}x" for value in values[1:])])
    benchlib.show(["records a second", *brokers, "beside kafka", "beside kafka, fsync"], rows)
    return results


def carried(broker, size):
    """Records a second from a producer to a consumer, as fast as they come."""
    with topic_of(broker, LATENCY_PARTITIONS) as topic:
        return end_to_end(broker, topic, size, 0)[0]


def measure_latency(brokers):
    """End to end at half of what the slower of the two that everybody compares can carry."""
    rows, results = [], {}
    for size in SIZES:
        most = {name: carried(broker, size) for name, broker in brokers.items()}
        common = min(most[OURS], most[KAFKA]) / 2
        for name, broker in brokers.items():
            rate = int(min(common, most[name] / 2))
            with topic_of(broker, LATENCY_PARTITIONS) as topic:
                reached, p50, p99 = end_to_end(broker, topic, size, rate)
            if reached < 0.9 * rate:
                print(f"  {name}: {reached:,.0f} of {rate:,} records a second were reached")
            results[f"{size}/{name}"] = {"most": most[name], "rate": rate, "p50_ms": p50,
                                         "p99_ms": p99}
            rows.append([f"{size} B, {name}", f"{most[name]:,.0f}", f"{rate:,}", f"{p50:.1f} ms",
                         f"{p99:.1f} ms"])
    benchlib.show(["end to end, 16 partitions", "most a second", "half load", "p50", "p99"], rows)
    return results


def main():
    fsync = "log.flush.interval.messages=1"
    with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as ours, \
            apache_kafka.running() as kafka, apache_kafka.running(fsync) as kafka_fsync:
        brokers = {OURS: Broker(ours.kafka_port, ours.process.pid),
                   KAFKA: Broker(kafka.port, kafka.process.pid),
                   KAFKA_FSYNC: Broker(kafka_fsync.port, kafka_fsync.process.pid)}
        rates = measure_throughput(brokers)
        latencies = measure_latency(brokers)
        memory = {name: server.resident_bytes(broker.pid)[1] for name, broker in brokers.items()}
        mapped = {name: server.mapped_bytes(broker.pid) for name, broker in brokers.items()}
    rows = [[name, benchlib.megabytes(most), f"{most / memory[OURS]:.1f}x",
             benchlib.megabytes(mapped[name])] for name, most in memory.items()]
    benchlib.show(["most resident memory", "", "of ours", "of it, files mapped"], rows)
    benchlib.keep("kafka_port", {"throughput": rates, "latency": latencies, "memory": memory,
                                 "mapped": mapped})


if __name__ == "__main__":
    main()

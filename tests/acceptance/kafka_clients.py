"""Every Kafka client against the Kafka port: the same calls by five libraries.

For each client of tests/clients: produce with every compression it has, idempotent and not, and read
back; groups of three whose members join, leave and are killed; offsets that are kept; offsets by
time; transactions that are committed, aborted and fenced; the calls of an administrator, wrong ones
too.

    python tests/acceptance/kafka_clients.py --binary target/debug/tradewind
    python tests/acceptance/kafka_clients.py --binary ... --clients go node
    python tests/acceptance/kafka_clients.py --binary ... --peer    # and against Apache Kafka

Guarantees: what must hold is checked on each broker by itself; with `--peer` what the two brokers
answered is compared, and every difference printed.
Left out: rates, which `bench/` measures.
"""

import argparse
import contextlib
import json
import pathlib
import queue
import shutil
import subprocess
import sys
import threading
import time

import apache_kafka
import server
from common import PROJECT

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

CLIENTS = PROJECT / "tests" / "clients"
CACHE = apache_kafka.CACHE / "clients"
SECONDS = 60
SESSION_MS = 6_000


class Library:
    """One client program, and what its library can do."""

    def __init__(self, command, compressions, transactional_offsets=True, cooperative=True,
                 static=True):
        self.command = command
        self.compressions = compressions
        self.transactional_offsets = transactional_offsets
        self.cooperative = cooperative
        self.static = static


def java():
    jars, folder = f"{apache_kafka.jars('kafka-clients')}/*", CACHE / "java"
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", str(folder),
                    str(CLIENTS / "java" / "Client.java")], check=True)
    return Library(["java", "-cp", f"{jars}:{folder}", "Client"],
                   ["none", "gzip", "snappy", "lz4", "zstd"])


def go():
    program = CACHE / "franz-go"
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=CLIENTS / "go", check=True)
    return Library([str(program)], ["none", "gzip", "snappy", "lz4", "zstd"],
                   transactional_offsets=False)


def node():
    folder = CACHE / "kafkajs"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ["package.json", "client.js"]:
        shutil.copy(CLIENTS / "node" / name, folder)
    if not (folder / "node_modules" / "kafkajs-snappy").exists():
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
                       cwd=folder, check=True)
    return Library(["node", str(folder / "client.js")], ["none", "gzip", "snappy"],
                   cooperative=False, static=False)


def kafka_python():
    return Library([sys.executable, str(CLIENTS / "python" / "python_client.py")], ["none", "gzip"],
                   cooperative=False)


def confluent():
    return Library([sys.executable, str(CLIENTS / "python" / "confluent_client.py")],
                   ["none", "gzip", "snappy", "lz4", "zstd"])


LIBRARIES = {"java": java, "go": go, "node": node, "kafka-python": kafka_python,
             "confluent": confluent}


class Failed(Exception):
    """Something that must hold does not."""


def must(holds, *said):
    if not holds:
        raise Failed(" ".join(map(str, said)))


class Program:
    """A client that runs while the test goes on."""

    def __init__(self, library, brokers, command, **arguments):
        line = [*library.command, brokers, command, *(f"{name}={value}" for name, value in arguments.items())]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines, self.said, self.errors = queue.Queue(), [], []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def until(self, holds, what):
        """Reads lines until `holds` is true of all that was said."""
        end = time.monotonic() + SECONDS
        while not holds(self.said):
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"waited {SECONDS} s for {what}; said {self.said[-5:]}") from None
            must(line is not None, "ended before", what, "".join(self.errors)[-2_000:])
            self.said.append(line)

    def assigned(self):
        found = [line["assigned"] for line in self.said if "assigned" in line]
        return found[-1] if found else []

    def values(self):
        return [line["value"] for line in self.said if "value" in line]

    def end_input(self):
        self.process.stdin.close()

    def finish(self):
        """Waits for the end; all lines."""
        while (line := self.lines.get(timeout=SECONDS)) is not None:
            self.said.append(line)
        code = self.process.wait(SECONDS)
        must(code == 0, "the client failed:", "".join(self.errors)[-2_000:])
        return self.said

    def kill(self):
        self.process.kill()
        self.process.wait()


class Scenarios:
    """One client before one broker."""

    def __init__(self, name, library, brokers):
        self.name, self.library, self.brokers = name, library, brokers
        self.administrator = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        # What both brokers must answer alike.
        self.seen = {}

    def topic(self, what, partitions=2):
        topic = f"{self.name}-{what}"
        for made in self.administrator.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result(SECONDS)
        return topic

    @contextlib.contextmanager
    def programs(self):
        started = []

        def start(command, **arguments):
            program = Program(self.library, self.brokers, command, **arguments)
            started.append(program)
            return program

        try:
            yield start
        finally:
            for program in started:
                if program.process.poll() is None:
                    program.kill()

    def run(self, command, **arguments):
        program = Program(self.library, self.brokers, command, **arguments)
        program.end_input()
        try:
            return program.finish()
        finally:
            if program.process.poll() is None:
                program.kill()

    def produce(self):
        """Every compression, idempotent and not; all of it read back."""
        topic = self.topic("produce")
        first = 0
        for compression in self.library.compressions:
            for idempotent in ["false", "true"]:
                done = self.run("produce", topic=topic, first=first, count=20, partitions=2,
                                compression=compression, idempotent=idempotent)
                first += 20
                last = first // 2 - 1
                must(done == [{"acked": 20, "last": {"0": last, "1": last}}], compression, done)
        lines = self.run("consume", topic=topic)
        records = sorted((line for line in lines if "value" in line),
                         key=lambda line: (line["offset"], line["partition"]))
        expected = [{"partition": n % 2, "offset": n // 2, "key": f"k{n}", "value": f"v{n}",
                     "n": str(n)} for n in range(first)]
        must(records == expected, "records differ", records[:4], len(records), first)
        self.seen["produce"] = lines[-1]

    def times(self):
        """Offsets by time: before, between and after."""
        topic = self.topic("times")
        begin = int(time.time() * 1_000) - 5_000
        self.run("produce", topic=topic, first=0, count=4, partitions=2)
        time.sleep(0.05)
        middle = int(time.time() * 1_000)
        time.sleep(0.05)
        self.run("produce", topic=topic, first=4, count=4, partitions=2)
        later = int(time.time() * 1_000) + 60_000
        for at, offset in [(begin, 0), (middle, 2), (later, -1)]:
            found = self.run("times", topic=topic, at=at)
            must(found == [{"offsets": {"0": offset, "1": offset}}], at, found)

    def group(self):
        """Three members share; one leaves, one is killed; nothing is missed, offsets are kept."""
        topic, group = self.topic("group", 6), f"{self.name}-group"
        every = list(range(6))
        with self.programs() as start:
            def member():
                return start("group", topic=topic, group=group, session=SESSION_MS)

            def share(members, sizes):
                for one in members:
                    one.until(lambda said, one=one: len(one.assigned()) in sizes, f"{sizes} partitions")

            def shared(members, sizes):
                # A member may have been told of a share that others still rearrange.
                for _ in range(50):
                    share(members, sizes)
                    if sorted(sum((one.assigned() for one in members), [])) == every:
                        return
                    time.sleep(0.2)
                    for one in members:
                        while not one.lines.empty():
                            one.said.append(one.lines.get())
                raise Failed(f"{[one.assigned() for one in members]} is no share of {every}")

            first = member()
            shared([first], [6])
            others = [member(), member()]
            members = [first, *others]
            shared(members, [2])
            self.run("produce", topic=topic, first=0, count=60, partitions=6)
            wanted = {f"v{n}" for n in range(60)}
            self.all_of(members, wanted)
            others[1].end_input()
            others[1].finish()
            shared(members[:2], [3])
            others[0].kill()
            shared([first], [6])
            self.run("produce", topic=topic, first=60, count=60, partitions=6)
            self.all_of([first], {f"v{n}" for n in range(60, 120)})
            first.end_input()
            first.finish()
            self.committed(group, topic, 20)
            late = member()
            shared([late], [6])
            self.run("produce", topic=topic, first=120, count=6, partitions=6)
            self.all_of([late], {f"v{n}" for n in range(120, 126)})
            must(sorted(late.values()) == sorted(f"v{n}" for n in range(120, 126)),
                 "offsets were not kept:", late.values())
            late.end_input()
            late.finish()

    def all_of(self, members, wanted):
        end = time.monotonic() + SECONDS
        while not wanted <= set().union(*(one.values() for one in members)):
            must(time.monotonic() < end, "records never came:",
                 sorted(wanted - set().union(*(one.values() for one in members)))[:5])
            for one in members:
                with contextlib.suppress(queue.Empty):
                    one.said.append(one.lines.get(timeout=0.05))

    def committed(self, group, topic, offset):
        reader = Consumer({"bootstrap.servers": self.brokers, "group.id": group, "log_level": 0})
        found = reader.committed([TopicPartition(topic, number) for number in range(6)], SECONDS)
        reader.close()
        offsets = [one.offset for one in found]
        must(offsets == [offset] * 6, "committed offsets are", offsets)

    def cooperative(self):
        """A second member takes its share and the first never lets go of the rest."""
        if not self.library.cooperative:
            return
        topic, group = self.topic("cooperative", 4), f"{self.name}-cooperative"
        with self.programs() as start:
            first = start("group", topic=topic, group=group, assignor="cooperative")
            first.until(lambda said: len(first.assigned()) == 4, "all partitions")
            second = start("group", topic=topic, group=group, assignor="cooperative")
            second.until(lambda said: len(second.assigned()) == 2, "half of them")
            first.until(lambda said: len(first.assigned()) == 2, "the other half")
            must(all(line["assigned"] for line in first.said[-2:] if "assigned" in line),
                 "all was revoked:", first.said)

    def static(self):
        """A member with a name of its own comes back to what it had, without a rebalance."""
        if not self.library.static:
            return
        topic, group = self.topic("static", 4), f"{self.name}-static"
        with self.programs() as start:
            def member(name):
                return start("group", topic=topic, group=group, static=name, session=45_000)

            stays, goes = member("a"), member("b")
            for one in [stays, goes]:
                one.until(lambda said, one=one: len(one.assigned()) == 2, "its share")
            had, told = goes.assigned(), len(stays.said)
            goes.kill()
            back = member("b")
            back.until(lambda said: back.assigned(), "its old share")
            must(back.assigned() == had, "had", had, "and has", back.assigned())
            must(len(stays.said) == told, "the others were disturbed:", stays.said)

    def transactions(self):
        """Committed is seen, aborted is not; a zombie is fenced."""
        topic = self.topic("transactions")
        ended = self.run("transact", topic=topic, id=f"{self.name}-t", first=0, count=4, partitions=2)
        must(ended == [{"ended": "commit"}], ended)
        ended = self.run("transact", topic=topic, id=f"{self.name}-t", first=4, count=4, partitions=2,
                         end="abort")
        must(ended == [{"ended": "abort"}], ended)
        ended = self.run("transact", topic=topic, id=f"{self.name}-t", first=8, count=4, partitions=2)
        must(ended == [{"ended": "commit"}], ended)
        with self.programs() as start:
            zombie = start("transact", topic=topic, id=f"{self.name}-z", first=12, count=2,
                           partitions=2, end="hang")
            zombie.until(lambda said: {"open": True} in said, "an open transaction")
            ended = self.run("transact", topic=topic, id=f"{self.name}-z", first=14, count=2, partitions=2)
            must(ended == [{"ended": "commit"}], ended)
            zombie.end_input()
            must(zombie.finish()[-1] == {"fenced": True}, zombie.said)
        committed = [f"v{n}" for n in [*range(4), *range(8, 12), 14, 15]]
        for isolation, expected in [("read_committed", committed),
                                    ("read_uncommitted", [f"v{n}" for n in range(16)])]:
            lines = self.run("consume", topic=topic, isolation=isolation)
            values = sorted((line["value"] for line in lines if "value" in line),
                            key=lambda value: int(value[1:]))
            must(values == expected, isolation, values)
            self.seen[isolation] = sorted((line for line in lines if "value" in line),
                                          key=lambda line: (line["partition"], line["offset"]))

    def transactional_offsets(self):
        """Offsets that a transaction carries count when it is committed, and not before."""
        if not self.library.transactional_offsets:
            return
        topic, group = self.topic("carried", 6), f"{self.name}-carried"
        for end, first, offset in [("commit", 0, 7), ("abort", 4, 9)]:
            ended = self.run("transact", topic=topic, id=f"{self.name}-c", first=first, count=4,
                             partitions=2, end=end, group=group, offset=offset)
            must(ended == [{"ended": end}], ended)
        reader = Consumer({"bootstrap.servers": self.brokers, "group.id": group, "log_level": 0})
        found = reader.committed([TopicPartition(topic, 0)], SECONDS)
        reader.close()
        must(found[0].offset == 7, "the group's offset is", found[0].offset)

    def admin(self):
        """What an administrator asks, and asks wrongly."""
        self.seen["admin"] = self.run("admin", topic=f"{self.name}-admin")


def example(brokers):
    """The programs of examples/kafka_messages."""
    folder = PROJECT / "examples" / "kafka_messages"

    def text(name):
        return (folder / name).read_text().replace("localhost:9092", brokers)

    subprocess.run([sys.executable, "-c", text("producer.py")], check=True, timeout=SECONDS)
    consumer = subprocess.Popen([sys.executable, "-c", text("consumer.py")], text=True,
                                stdout=subprocess.PIPE)
    watchdog = threading.Timer(SECONDS, consumer.kill)
    watchdog.start()
    try:
        said = [consumer.stdout.readline().strip() for _ in range(2)]
        must(said == ["hello", "world"], "the consumer said", said)
    finally:
        watchdog.cancel()
        consumer.kill()
        consumer.wait()


SCENARIOS = ["produce", "times", "group", "cooperative", "static", "transactions",
             "transactional_offsets", "admin"]


def judge(libraries, broker_name, brokers, scenarios):
    """Runs everything before one broker; what was seen, and how many failed."""
    seen, failed = {}, 0

    def one(name, scenario, run):
        nonlocal failed
        started = time.monotonic()
        try:
            run()
            result = "ok"
        except Failed as error:
            failed += 1
            result = f"FAILED: {error}"
        print(f"  {broker_name:<13} {name:<13} {scenario:<22} {time.monotonic() - started:5.1f} s  {result}",
              flush=True)

    one("kafka-python", "the example", lambda: example(brokers))
    for name, library in libraries.items():
        runs = Scenarios(name, library, brokers)
        for scenario in scenarios:
            one(name, scenario, getattr(runs, scenario))
        seen[name] = runs.seen
    return seen, failed


def compare(ours, theirs):
    """Prints where two brokers answered otherwise; how often."""
    differences = 0
    for name in ours:
        for what in sorted(set(ours[name]) | set(theirs[name])):
            mine, other = ours[name].get(what), theirs[name].get(what)
            if mine == other:
                continue
            both = [(one, another) for one, another in zip(mine or [], other or [])
                    if one != another] if isinstance(mine, list) else [(mine, other)]
            for one, another in both:
                differences += 1
                print(f"  DIFFERS {name} {what}: {one}; Apache Kafka: {another}")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, help="tradewind; without it only the peer runs")
    parser.add_argument("--clients", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--peer", action="store_true", help="the same before Apache Kafka")
    chosen = parser.parse_args()
    libraries = {name: LIBRARIES[name]() for name in chosen.clients}
    ours = theirs = None
    failed = 0
    if chosen.binary:
        with server.running(chosen.binary) as running:
            ours, failed = judge(libraries, "tradewind", f"127.0.0.1:{running.kafka_port}", chosen.scenarios)
    if chosen.peer:
        with apache_kafka.running() as running:
            theirs, _ = judge(libraries, "Apache Kafka", f"127.0.0.1:{running.port}", chosen.scenarios)
    differences = compare(ours, theirs) if ours and theirs else 0
    print(f"{failed} failed, {differences} answered otherwise than Apache Kafka" if theirs
          else f"{failed} failed")
    if failed:
        sys.exit(1)
    print("PASSED")


if __name__ == "__main__":
    main()

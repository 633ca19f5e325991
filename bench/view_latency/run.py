"""From a Kafka client's produce to a subscriber of a view, through a windowed join.

Two topics, counted by key in windows of 100 ms of event time, joined by window and key. A window can
be told once every partition has an event past its end; the time from producing the last of those to
the subscriber's having the window's rows is what is measured, for each window. Events are produced at
a steady rate, their event time is the clock. Then nothing is sent, and the processor time is measured.
"""

import collections
import json
import sys
import threading
import time
import urllib.request

from confluent_kafka import Producer

import benchlib
import common
import server

RATE = 10_000
SECONDS = max(5, int(60 * benchlib.SCALE))
IDLE_SECONDS = max(5, int(30 * benchlib.SCALE))
PARTITIONS = 4
KEYS = 10
WINDOW_MS = 100
# What librdkafka waits by itself for a batch to fill; part of the latency.
LINGER_MS = 5
# The first windows, while everything is new to everybody.
SKIPPED = 10

TABLE = """
    CREATE TABLE {name} (k INT, at TIMESTAMP(3), WATERMARK FOR at AS at)
    WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json')"""
COUNTED = """(SELECT window_start, window_end, k, COUNT(*) AS n
    FROM TABLE(TUMBLE(TABLE {name}, DESCRIPTOR(at), INTERVAL '0.1' SECOND))
    GROUP BY window_start, window_end, k)"""
VIEW = f"""
    CREATE MATERIALIZED VIEW pairs AS
    SELECT c.window_end, c.k, c.n AS clicks, o.n AS orders
    FROM {COUNTED.format(name="clicks")} AS c JOIN {COUNTED.format(name="buys")} AS o
    ON c.window_start = o.window_start AND c.window_end = o.window_end AND c.k = o.k"""


def text(milliseconds):
    """A time as the topic's JSON has it."""
    seconds, rest = divmod(milliseconds, 1_000)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:03}"


def shown_as(milliseconds):
    """A time as subscribers get it."""
    return text(milliseconds).replace(" ", "T").removesuffix(".000")


def produce(brokers):
    """Sends events for SECONDS; returns when each window could first be told, and the rate."""
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "linger.ms": LINGER_MS,
                         "log_level": 2})
    past, told = {}, {}
    places = [(topic, partition) for topic in ("clicks", "buys") for partition in range(PARTITIONS)]
    sent, now, started = 0, 0, time.monotonic()
    while (elapsed := time.monotonic() - started) < SECONDS:
        while sent < elapsed * RATE:
            topic, partition = places[sent % len(places)]
            at = int(time.time() * 1_000)
            if at != now:
                now, shown = at, text(at)
            value = f'{{"k": {sent // len(places) % KEYS}, "at": "{shown}"}}'
            producer.produce(topic, value, partition=partition)
            window = at // WINDOW_MS
            if past.get((topic, partition)) != window:
                past[(topic, partition)] = window
                # A window ends when the last partition is past it.
                ended = min(past.values())
                if len(past) == len(places) and ended not in told:
                    told[ended] = time.monotonic()
            sent += 1
        producer.poll(0)
        time.sleep(0.0005)
    if left := producer.flush(30):
        sys.exit(f"{left} messages were not acknowledged")
    return told, sent / (time.monotonic() - started)


class Subscriber(threading.Thread):
    """Notes when each window's rows are there."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.seen = {}
        self.ready = threading.Event()

    def run(self):
        """Until the server stops."""
        data = ""
        with urllib.request.urlopen(f"{self.url}/api/subscribe?view=pairs") as events:
            for line in events:
                name, _, part = line.decode().rstrip("\n").partition(": ")
                if name == "data":
                    data += part
                elif not name and data:
                    now = time.monotonic()
                    for row in json.loads(data).get("insert", []):
                        self.seen.setdefault(row[0], now)
                    data = ""
                    self.ready.set()


def percentile(values, share):
    """Nearest rank."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def main():
    settings = {"log.default_partitions": PARTITIONS}
    with server.running(benchlib.BINARY, settings, folder=benchlib.FOLDER) as running:
        for name in ("clicks", "buys"):
            common.sql(running.url, TABLE.format(name=name), dialect="flink")
        common.sql(running.url, VIEW, dialect="flink")
        subscriber = Subscriber(running.url)
        subscriber.start()
        if not subscriber.ready.wait(30):
            sys.exit("the view does not answer")
        before = running.processor_seconds()
        told, rate = produce(f"127.0.0.1:{running.kafka_port}")
        busy = (running.processor_seconds() - before) / SECONDS
        time.sleep(2)
        latencies, missing = [], 0
        for window, at in sorted(told.items())[SKIPPED:]:
            # The window that ends where this one begins.
            arrived = subscriber.seen.get(shown_as(window * WINDOW_MS))
            missing += arrived is None
            if arrived is not None:
                latencies.append((arrived - at) * 1_000)
        if not latencies:
            seen = collections.deque(subscriber.seen, 3)
            sys.exit(f"no window was seen; the subscriber's last are {list(seen)}")
        before = running.processor_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (running.processor_seconds() - before) / IDLE_SECONDS
        results = {
            "events_per_second": round(rate), "windows": len(latencies), "missing": missing,
            "p50_ms": round(percentile(latencies, 50), 1),
            "p99_ms": round(percentile(latencies, 99), 1), "max_ms": round(max(latencies), 1),
            "cores_busy": round(busy, 3), "cores_idle": round(idle, 4),
            "resident_bytes": running.resident_bytes()[0]}
    benchlib.show(["figure", "value"], results.items())
    benchlib.keep("view_latency", results)


if __name__ == "__main__":
    main()

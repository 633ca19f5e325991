"""From the process's start to its first answers, with 10 GB of log in the data folder.

Measured after a clean stop and after SIGKILL (the log's last segments and the pipelines' last
checkpoint are then checked). The page cache is dropped before each start where that is allowed
(as root), and the table says whether it was.
"""

import contextlib
import os
import pathlib
import signal
import sys
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import benchlib
import common
import server

BYTES = int(10_000_000_000 * benchlib.SCALE)
VALUE_BYTES = 10_000
PARTITIONS = 4


def fill(running):
    """Puts the bytes into a topic of their own, over the Kafka port."""
    brokers = f"127.0.0.1:{running.kafka_port}"
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    admin.create_topics([NewTopic("history", PARTITIONS, 1)])["history"].result(30)
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "linger.ms": 5,
                         "batch.size": 900_000, "log_level": 2,
                         "queue.buffering.max.kbytes": 200_000})
    value, failed = os.urandom(VALUE_BYTES), []
    for number in range(max(1, BYTES // VALUE_BYTES)):
        while True:
            try:
                producer.produce("history", value, partition=number % PARTITIONS,
                                 on_delivery=lambda error, _: error and failed.append(error))
                break
            except BufferError:
                producer.poll(0.05)
    left = producer.flush(300)
    if failed or left:
        sys.exit(f"{len(failed)} messages failed ({failed[:1]}), {left} were left")


def drop_page_cache():
    """Whether it could be dropped."""
    os.sync()
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return True
    return False


def cold_start(running, how):
    """Stops it in that way and starts it again: (seconds to healthy, to SQL, cache dropped)."""
    running.stop(how)
    dropped = drop_page_cache()
    started = time.monotonic()
    healthy = running.start()
    common.sql(running.url, "SELECT count(*) FROM events")
    return healthy, time.monotonic() - started, dropped


def main():
    settings = {"log.disk_reserve_bytes": "1 GiB"} if benchlib.SCALE == 1 else {}
    with server.running(benchlib.BINARY, settings, folder=benchlib.FOLDER) as running:
        # Events too, so that deduplication and the pipelines have something to come back to.
        benchlib.load(running, max(3, int(20 * benchlib.SCALE)))
        fill(running)
        held = sum(file.stat().st_size for file in (running.data_dir / "log").rglob("*.log"))
        rows, results = [], {"log_bytes": held}
        for name, how in [("a clean stop", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)]:
            healthy, answered, dropped = cold_start(running, how)
            results[name] = {"healthy_s": healthy, "answered_s": answered,
                             "page_cache_dropped": dropped}
            rows.append([name, f"{healthy:.2f} s", f"{answered:.2f} s",
                         "cold" if dropped else "warm"])
    print(f"  {benchlib.megabytes(held)} of log")
    benchlib.show(["after", "healthy", "SQL answered", "page cache"], rows)
    benchlib.keep("cold_start", results)


if __name__ == "__main__":
    main()

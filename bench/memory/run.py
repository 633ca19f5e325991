"""Resident memory and processor share: idle, under load, and some time after it."""

import time

import benchlib
import server

IDLE_SECONDS = max(3, int(20 * benchlib.SCALE))
LOAD_SECONDS = max(5, int(60 * benchlib.SCALE))
RATE = 20_000


def share(running, seconds):
    """Processor share over the next seconds, in percent of one core."""
    before, started = running.processor_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (running.processor_seconds() - before) / (time.monotonic() - started)


def main():
    rows, results = [], {}

    def note(state, processor_percent):
        resident, most = running.resident_bytes()
        results[state] = {"resident_bytes": resident, "most_bytes": most,
                          "processor_percent": processor_percent}
        rows.append([state, benchlib.megabytes(resident), benchlib.megabytes(most),
                     f"{processor_percent:.1f} %"])

    with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as running:
        time.sleep(min(5, IDLE_SECONDS))
        note("idle, nothing collected yet", share(running, IDLE_SECONDS))
        before, started = running.processor_seconds(), time.monotonic()
        benchlib.load(running, LOAD_SECONDS, rate=RATE, probe=True)
        used = running.processor_seconds() - before
        note(f"after {LOAD_SECONDS} s of {RATE:,} events/s",
             100 * used / (time.monotonic() - started))
        before, started = running.processor_seconds(), time.monotonic()
        benchlib.load(running, LOAD_SECONDS, connections=64)
        used = running.processor_seconds() - before
        note(f"after {LOAD_SECONDS} s flat out", 100 * used / (time.monotonic() - started))
        time.sleep(IDLE_SECONDS * 3)
        note("idle again", share(running, IDLE_SECONDS))
    benchlib.show(["", "resident", "most so far", "one core"], rows)
    benchlib.keep("memory", results)


if __name__ == "__main__":
    main()

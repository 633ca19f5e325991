"""Many subscribers of a live view: processor time of the server, and how late changes are.

Orders come at a steady rate; a view counts them by minute. First nobody follows it, then so many
subscribers of `/api/live` do, each on a connection of its own, read by another process. The server's
processor seconds per second are given for both, and for each change seen the time since the first of
the subscribers saw it.
"""

import asyncio
import http.client
import json
import multiprocessing
import sys
import threading
import time

import benchlib
import server

SUBSCRIBERS = max(20, int(2_000 * benchlib.SCALE))
SECONDS = max(10, int(30 * benchlib.SCALE))
RATE = 200
VIEW = "sales_per_minute"


async def subscriber(port, seen, ready, stop):
    """Reads until told to stop; counts events, and notes when the last id of a piece was seen first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/live?view={VIEW} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    first = True
    while not stop.is_set():
        try:
            piece = await asyncio.wait_for(reader.read(1 << 16), 20)
        except TimeoutError:
            continue
        if not piece:
            break
        count = piece.count(b"\nid: ")
        if not count:
            continue
        if first:
            first = False
            ready.release()
        now = time.monotonic()
        seen["bytes"] += len(piece)
        seen["events"] += count
        name = piece[piece.rfind(b"\nid: ") + 5:].split(b"\n", 1)[0]
        seen["lags"].append(now - seen["ids"].setdefault(name, now))
    writer.close()


def subscribers(port, count, ready, stop, results):
    """A process of readers."""
    seen = {"bytes": 0, "events": 0, "ids": {}, "lags": []}

    async def all_of_them():
        await asyncio.gather(*(subscriber(port, seen, ready, stop) for _ in range(count)))

    asyncio.run(all_of_them())
    lags = sorted(seen["lags"]) or [0]
    results.put({"bytes": seen["bytes"], "events": seen["events"],
                 "p99_ms": lags[int(len(lags) * 0.99)] * 1_000 if len(lags) > 1 else 0})


def orders(port, stop):
    """Orders at a steady rate, in batches of a tenth of a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    number, started = 0, time.monotonic()
    while not stop.is_set():
        calls = []
        while number < (time.monotonic() - started) * RATE:
            number += 1
            calls.append({"type": "track", "event": "Order Completed", "userId": f"u{number % 500}",
                          "properties": {"order_id": f"{started}-{number}", "currency": "EUR", "total": "10.01",
                                         "revenue": "10.01", "products": []}})
        if calls:
            connection.request("POST", "/v1/batch", json.dumps({"batch": calls, "writeKey": "demo"}))
            connection.getresponse().read()
        time.sleep(0.1)


def cores(running, seconds):
    """Processor seconds per second, over some."""
    before, started = running.processor_seconds(), time.monotonic()
    time.sleep(seconds)
    return (running.processor_seconds() - before) / (time.monotonic() - started)


def main():
    with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as running:
        stopping = threading.Event()
        sender = threading.Thread(target=orders, args=(running.http_port, stopping))
        sender.start()
        time.sleep(3)
        alone = cores(running, SECONDS)
        ready, stop = multiprocessing.Semaphore(0), multiprocessing.Event()
        results = multiprocessing.Queue()
        readers = multiprocessing.Process(
            target=subscribers, args=(running.http_port, SUBSCRIBERS, ready, stop, results))
        readers.start()
        for _ in range(SUBSCRIBERS):
            if not ready.acquire(timeout=60):
                sys.exit("not every subscriber has got a snapshot")
        followed = cores(running, SECONDS)
        stop.set()
        said = results.get(timeout=60)
        readers.join()
        stopping.set()
        sender.join()
        resident = running.resident_bytes()[1]
    benchlib.show(["subscribers", "server's cores"],
                  [["0", f"{alone:.2f}"], [f"{SUBSCRIBERS:,}", f"{followed:.2f}"]])
    print(f"  {said['events'] / SECONDS:,.0f} events/s in all, {benchlib.megabytes(said['bytes'])}; the last of them "
          f"{said['p99_ms']:.0f} ms after the first (p99); most memory {benchlib.megabytes(resident)}")
    benchlib.keep("sse_subscribers", {"subscribers": SUBSCRIBERS, "orders_per_second": RATE, "cores_alone": alone,
                                      "cores": followed, "resident_bytes_max": resident, **said})


if __name__ == "__main__":
    main()

"""A million rows out of the server: Flight SQL, HTTP Arrow and HTTP JSON, beside DuckDB.

Orders are sent over HTTP and land in the lake's table. They are then asked for whole: by ADBC, by
pyarrow's Flight client, as an Arrow stream and as JSON over HTTP. The peer is DuckDB behind pyarrow's
Flight server, in a process of its own, over the same Parquet files and read by the same pyarrow client.
Megabytes are those of the Arrow columns the client ends up with, the same for all; for JSON too.
"""

import concurrent.futures
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.request

import adbc_driver_flightsql.dbapi
import pyarrow
import pyarrow.flight
import pyarrow.ipc

import benchlib
import common
import server
from flight_clients import statement

ROWS = max(10_000, int(1_000_000 * benchlib.SCALE))
BATCH = 1_000
SENDERS = 4
TURNS = 5
COLUMNS = ("order_id, message_id, visitor_id, event_time, currency, country, "
           "subtotal, total, revenue, shipping, tax")
QUERY = f"SELECT {COLUMNS} FROM orders"


def batch(first):
    """A body of orders."""
    calls = [{"type": "track", "event": "Order Completed", "messageId": f"message-{number}",
              "anonymousId": f"visitor-{number % 50_000}", "timestamp": f"2026-03-{number % 28 + 1:02}T12:00:00.123Z",
              "properties": {"order_id": f"order-{number}", "currency": "EUR", "country": "DE",
                             "subtotal": f"{number % 900}.50", "total": f"{number % 900 + 9}.99",
                             "revenue": f"{number % 900}.50", "shipping": "4.90", "tax": "4.59"}}
             for number in range(first, min(first + BATCH, ROWS))]
    return json.dumps({"batch": calls, "writeKey": "demo"})


def fill(running):
    """All orders, in the table and in files."""
    def send(firsts):
        connection = http.client.HTTPConnection("127.0.0.1", running.http_port)
        for first in firsts:
            while True:
                connection.request("POST", "/v1/batch", batch(first))
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                time.sleep(0.2)

    with concurrent.futures.ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, [range(at * BATCH, ROWS, BATCH * SENDERS) for at in range(SENDERS)]))
    deadline = time.monotonic() + 600
    while common.sql(running.url, "SELECT count(*) FROM orders") != [[ROWS]]:
        if time.monotonic() > deadline:
            sys.exit("the orders did not all arrive")
        time.sleep(0.5)


def by_flight(address, command):
    """pyarrow's Flight client: the same for ours and for the peer."""
    with pyarrow.flight.connect(f"grpc://{address}") as client:
        info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(command))
        return client.do_get(info.endpoints[0].ticket).read_all()


def by_adbc(address):
    with (adbc_driver_flightsql.dbapi.connect(f"grpc://{address}", autocommit=True) as connection,
          connection.cursor() as cursor):
        cursor.execute(QUERY)
        return cursor.fetch_arrow_table()


def by_http_arrow(url):
    request = urllib.request.Request(f"{url}/api/sql", data=QUERY.encode(), headers={
        "Accept": "application/vnd.apache.arrow.stream", "Content-Type": "text/plain"})
    with urllib.request.urlopen(request) as answer:
        return pyarrow.ipc.open_stream(answer).read_all()


def by_http_json(url):
    """Only read: what a client makes of JSON is its own time."""
    request = urllib.request.Request(f"{url}/api/sql", data=QUERY.encode(),
                                     headers={"Content-Type": "text/plain"})
    with urllib.request.urlopen(request) as answer:
        size = 0
        while piece := answer.read(1 << 20):
            size += len(piece)
        return size


def measured(name, work, megabytes=None):
    """Seconds of some turns, the first left out, and a row of the table."""
    seconds, table = [], None
    for turn in range(TURNS + 1):
        started = time.monotonic()
        table = work()
        if turn:
            seconds.append(time.monotonic() - started)
    if hasattr(table, "num_rows"):
        if table.num_rows != ROWS:
            sys.exit(f"{name}: {table.num_rows} rows instead of {ROWS}")
        megabytes = table.nbytes / 1e6
    middle = statistics.median(seconds)
    return {"name": name, "seconds": middle, "megabytes": megabytes,
            "megabytes_per_second": megabytes / middle}


def main():
    results = []
    settings = {"sql.result_bytes_max": "4 GB", "sql.result_rows_max": 10 * ROWS}
    with server.running(benchlib.BINARY, settings, folder=benchlib.FOLDER) as running:
        fill(running)
        address = f"127.0.0.1:{running.flight_port}"
        # What the server writes behind the answer must not be measured with it.
        time.sleep(5)
        before = running.processor_seconds()
        results.append(measured("Flight SQL, pyarrow", lambda: by_flight(address, statement(QUERY))))
        results[-1]["processor_seconds"] = (running.processor_seconds() - before) / (TURNS + 1)
        size = results[-1]["megabytes"]
        results.append(measured("Flight SQL, ADBC", lambda: by_adbc(address)))
        results.append(measured("HTTP, Arrow stream", lambda: by_http_arrow(running.url)))
        results.append(measured("HTTP, JSON", lambda: by_http_json(running.url), size))
        files = running.data_dir / "lake"
        peer = subprocess.Popen([sys.executable, str(pathlib.Path(__file__).with_name("duck.py")),
                                 str(files), COLUMNS], stdout=subprocess.PIPE, text=True)
        try:
            port = int(peer.stdout.readline())
            results.append(measured("DuckDB behind pyarrow.flight",
                                    lambda: by_flight(f"127.0.0.1:{port}", b"orders")))
        finally:
            peer.kill()
            peer.wait()
        resident = running.resident_bytes()[1]
    benchlib.show(["way", "seconds", "MB", "MB/s"],
                  [[one["name"], f"{one['seconds']:.2f}", f"{one['megabytes']:.0f}",
                    f"{one['megabytes_per_second']:.0f}"] for one in results])
    print(f"  processor seconds of the server for one answer: {results[0]['processor_seconds']:.2f}; "
          f"most memory: {benchlib.megabytes(resident)}")
    benchlib.keep("flight_sql", {"rows": ROWS, "ways": results, "resident_bytes_max": resident})


if __name__ == "__main__":
    main()

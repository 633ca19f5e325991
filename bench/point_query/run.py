"""One row by its key over PostgreSQL's protocol, beside PostgreSQL itself.

The same table of orders is copied into both with COPY; PostgreSQL has an index on the key, as one has
there. One client (psycopg, prepared statements, binary results) asks for one order after the other,
then several at once. The client's own time is in every figure, for both alike. Two more questions are
for scale: no table at all, and the day's sum, which no index answers.
"""

import contextlib
import decimal
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import psycopg

import benchlib
import server

ROWS = max(1_000, int(200_000 * benchlib.SCALE))
SECONDS = max(2, int(20 * benchlib.SCALE))
CLIENTS = (1, 8)
TABLE = "CREATE TABLE orders (id BIGINT, customer VARCHAR, total DECIMAL(18, 2), at TIMESTAMP)"
QUERIES = {
    "no table": "SELECT %s::bigint",
    "one order": "SELECT id, customer, total, at FROM orders WHERE id = %s",
    "a day's sum": "SELECT count(*), sum(total) FROM orders WHERE at >= TIMESTAMP '2024-06-01' "
                   "AND at < TIMESTAMP '2024-06-02' AND id <> %s",
}


def fill(connection, key):
    """Makes the table and copies the same orders into it."""
    connection.execute(TABLE)
    random.seed(1)
    start = 1_704_067_200
    with connection.cursor().copy("COPY orders FROM STDIN") as copy:
        for number in range(ROWS):
            total = decimal.Decimal(random.randrange(100, 1_000_000)) / 100
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start + number * 31_536_000 // ROWS))
            copy.write_row((number, f"customer {random.randrange(ROWS)}", total, at))
    if key:
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        connection.execute("ANALYZE orders")


def ask(connect, query, clients):
    """The latencies of `clients` at once for SECONDS, in milliseconds, sorted."""
    latencies = [[] for _ in range(clients)]

    def client(place):
        numbers = random.Random(place)
        with connect() as connection, connection.cursor(binary=True) as cursor:
            for _ in range(20):
                cursor.execute(query, [numbers.randrange(ROWS)], prepare=True).fetchall()
            end = time.monotonic() + SECONDS
            while (began := time.monotonic()) < end:
                cursor.execute(query, [numbers.randrange(ROWS)], prepare=True).fetchall()
                latencies[place].append((time.monotonic() - began) * 1_000)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(latency for each in latencies for latency in each)


def percentile(values, share):
    """Nearest rank."""
    return values[max(0, -(-len(values) * share // 100) - 1)]


@contextlib.contextmanager
def postgresql():
    """A PostgreSQL of its own, as Debian's package sets it up; `None` where it is not installed."""
    homes = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not homes:
        yield None
        return
    programs = homes[-1].parent
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    # It refuses to run as root.
    before = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if before:
        shutil.chown(folder, "postgres")
    port = server.free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    quiet = {"stdout": subprocess.DEVNULL, "check": True, "cwd": "/"}
    subprocess.run([*before, programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "ann"],
                   **quiet)
    control = [*before, programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], **quiet)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], **quiet)
        shutil.rmtree(folder)


def main():
    rows, results = [], []
    with server.running(benchlib.BINARY, {}, folder=benchlib.FOLDER) as ours, postgresql() as theirs:
        systems = {"Tradewind": (ours.postgres_port, "tradewind")}
        if theirs:
            systems["PostgreSQL"] = (theirs, "postgres")
        for name, (port, database) in systems.items():
            def connect(port=port, database=database):
                return psycopg.connect(host="127.0.0.1", port=port, user="ann", dbname=database,
                                       autocommit=True)
            with connect() as connection:
                fill(connection, key=name == "PostgreSQL")
                version = connection.info.parameter_status("server_version")
            for question, query in QUERIES.items():
                for clients in CLIENTS:
                    latencies = ask(connect, query, clients)
                    figures = {"system": name, "version": version, "question": question,
                               "clients": clients, "rows": ROWS,
                               "per_second": len(latencies) / SECONDS,
                               "p50_ms": percentile(latencies, 50),
                               "p99_ms": percentile(latencies, 99)}
                    results.append(figures)
                    rows.append([question, name, clients, f"{figures['per_second']:,.0f}",
                                 f"{figures['p50_ms']:.2f}", f"{figures['p99_ms']:.2f}"])
    if not theirs:
        print("  PostgreSQL is not installed (Debian: apt-get install postgresql)", file=sys.stderr)
    benchlib.show(["question", "system", "clients", "a second", "p50 ms", "p99 ms"], sorted(rows))
    benchlib.keep("point_query", results)


if __name__ == "__main__":
    main()

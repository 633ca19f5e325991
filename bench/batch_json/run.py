"""The sum of a column over JSON lines: PySpark, DuckDB and `tradewind sql` on the same file.

Each program is a process of its own, as somebody with a file would run it. An empty run of each (a
session and `SELECT 1`) is measured too and subtracted. Programs take turns, so that none has the
warm cache to itself; the file is read once before, so that all find it in the page cache. The
best of the turns counts. The sums are compared: ours and DuckDB's exactly, Spark's (a double) to
the cent.

DuckDB is asked twice: as it comes (amounts are doubles) and with amounts declared DECIMAL, which is
the answer ours gives. Spark is asked twice: inferring the schema, as the tutorials do, and told it.
"""

import decimal
import os
import pathlib
import random
import subprocess
import sys
import time

import benchlib

BYTES = int(600_000_000 * benchlib.SCALE)
TURNS = 3
SPARK = pathlib.Path(__file__).with_name("spark_job.py")
DUCK = """
import sys, duckdb
print(duckdb.connect().execute(sys.argv[1]).fetchone()[0])
"""


def generate(path):
    """The file, the same bytes every time; returns nothing, leaves an existing one alone."""
    if path.exists() and abs(path.stat().st_size - BYTES) < 1_000:
        return
    print(f"  making {path} ({benchlib.megabytes(BYTES)})")
    chance = random.Random(20_261_121)
    countries = ["DE", "FR", "GB", "JP", "NL", "US"]
    partial, number, written = path.with_suffix(".partial"), 0, 0
    with partial.open("w") as file:
        while written < BYTES:
            lines = []
            for _ in range(10_000):
                number += 1
                cents = int(chance.paretovariate(1.6) * 1_000)
                roll = int(chance.random() * 1_000_000)
                lines.append(
                    f'{{"order_id":"O-{number:09d}","customer_id":"C-{roll:06d}",'
                    f'"created_at":"2026-{roll % 12 + 1:02d}-{roll % 28 + 1:02d}T{roll % 24:02d}:'
                    f'{roll % 60:02d}:00Z","country":"{countries[roll % 6]}","currency":"EUR",'
                    f'"items":{roll % 9 + 1},"amount":{cents // 100}.{cents % 100:02d},'
                    f'"status":"completed"}}\n')
                written += len(lines[-1])
                if written >= BYTES:
                    break
            file.writelines(lines)
    partial.rename(path)


def timed(command):
    """Wall seconds of a process and what it printed last."""
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"{command} failed\n{done.stderr[-3000:]}")
    return seconds, done.stdout.strip().splitlines()[-1]


def contenders(path):
    """(name, command of an empty run, command of the run)."""
    python, ours = sys.executable, benchlib.BINARY
    duck_plain = f"SELECT sum(amount) FROM read_json('{path}', format = 'newline_delimited')"
    duck_exact = (f"SELECT sum(amount) FROM read_json('{path}', format = 'newline_delimited', "
                  "columns = {amount: 'DECIMAL(18, 2)'})")
    return [
        ("tradewind sql", [ours, "sql", "--format", "csv", "-c", "SELECT 1"],
         [ours, "sql", "--format", "csv", "-c",
          f"SELECT sum(amount) AS total_sales FROM '{path}'"]),
        ("DuckDB, doubles", [python, "-c", DUCK, "SELECT 1"], [python, "-c", DUCK, duck_plain]),
        ("DuckDB, decimals", [python, "-c", DUCK, "SELECT 1"], [python, "-c", DUCK, duck_exact]),
        ("Spark, inferring", [python, SPARK, "empty", path], [python, SPARK, "infer", path]),
        ("Spark, schema given", [python, SPARK, "empty", path], [python, SPARK, "schema", path]),
    ]


def main():
    path = benchlib.FOLDER / f"orders-{BYTES}.json"
    benchlib.FOLDER.mkdir(parents=True, exist_ok=True)
    generate(path)
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    programs = contenders(path)
    empty, full, answers = {}, {}, {}
    for _ in range(TURNS):
        for name, nothing, something in programs:
            empty[name] = min(empty.get(name, 1e9), timed(nothing)[0])
            seconds, answers[name] = timed(something)
            full[name] = min(full.get(name, 1e9), seconds)

    cents = {name: decimal.Decimal(answer).quantize(decimal.Decimal("0.01"))
             for name, answer in answers.items()}
    if len(set(cents.values())) != 1:
        sys.exit(f"the sums differ: {answers}")
    work = {name: full[name] - empty[name] for name, _, _ in programs}
    ours = work["tradewind sql"]
    benchlib.show(
        ["", "run", "empty run", "work", "MB/s", "time / ours", "sum"],
        [[name, f"{full[name]:.2f} s", f"{empty[name]:.2f} s", f"{work[name]:.2f} s",
          f"{BYTES / 1e6 / work[name]:,.0f}", f"{work[name] / ours:.2f}", answers[name]]
         for name, _, _ in programs])
    print(f"  wanted: Spark at least 5.00, DuckDB at least 0.67 ({os.cpu_count()} cores)")
    benchlib.keep("batch_json", {
        name: {"run_s": full[name], "empty_run_s": empty[name], "work_s": work[name],
               "time_over_ours": work[name] / ours, "sum": answers[name]}
        for name, _, _ in programs})


if __name__ == "__main__":
    main()

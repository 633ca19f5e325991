"""A year of real orders, replayed: our figures against DuckDB's on the file, exactly.

    python tests/acceptance/online_retail.py --url http://127.0.0.1:8080 --data-dir data
    python tests/acceptance/online_retail.py --binary target/debug/tradewind

With --url, the file has been replayed to that server (examples/online_retail/README.md). With
--binary, the script starts a server on a fresh folder, replays the file and stops the server.

Three readers must agree with the file: our SQL, the `deltalake` package on the lake's folder, and
DuckDB on the Parquet files that the Delta log names. With --binary, views that follow the replay
are sampled meanwhile and compared too (`live_views.py`).
"""

import argparse
import pathlib
import sys
import time
import zoneinfo
import datetime

import duckdb
import pyarrow
from deltalake import DeltaTable

import common
import live_views
import server

TOTALS = """
    SELECT count(*), sum(quantity * price), sum(quantity), count(DISTINCT order_id),
        count(DISTINCT CASE WHEN line_kind = 'refund' THEN order_id END),
        count(DISTINCT user_id), count(CASE WHEN user_id IS NULL THEN 1 END),
        count(DISTINCT product_id)
    FROM {lines}"""
TOTAL_NAMES = ["lines", "sum(quantity * price)", "units", "invoices", "cancellations", "customers",
               "lines without a customer", "products"]
DISTINCT = """
    SELECT count(*) FROM (
        SELECT DISTINCT order_id, product_id, name, quantity, event_time, price, user_id, country
        FROM {lines}) AS lines"""
BY_DAY = "SELECT CAST(event_date AS VARCHAR), sum(quantity * price) FROM {lines} GROUP BY 1"
BY_COUNTRY = "SELECT country, sum(quantity * price) FROM {lines} GROUP BY 1"
LINE_AMOUNT = "SELECT sum(line_amount) FROM {lines}"
CURRENCIES = "SELECT currency, count(*) FROM {lines} GROUP BY 1"


def file_as_lines(path):
    """DuckDB with a table `file_lines`: the file in our columns, straight from its text."""
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    # The header is line 1, and no field holds a line feed.
    duck.execute("""
        CREATE TABLE texts AS
        SELECT row_number() OVER () + 1 AS line, *
        FROM read_csv(?, header = true, all_varchar = true, parallel = false)""", [str(path)])
    # The standard library's zone rules, so that neither DuckDB's nor ours are taken on trust.
    london = zoneinfo.ZoneInfo("Europe/London")
    texts = [row[0] for row in duck.execute("SELECT DISTINCT InvoiceDate FROM texts").fetchall()]
    instants = [datetime.datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=london)
                .astimezone(datetime.timezone.utc) for text in texts]
    dates = pyarrow.table({"text": texts, "instant": instants})
    duck.register("dates", dates)
    duck.execute("""
        CREATE TABLE file_lines AS
        SELECT line, InvoiceNo AS order_id, StockCode AS product_id, nullif(Description, '') AS name,
            CAST(Quantity AS DECIMAL(18, 6)) AS quantity, CAST(UnitPrice AS DECIMAL(18, 6)) AS price,
            instant AS event_time, CAST(instant AS DATE) AS event_date,
            nullif(CustomerID, '') AS user_id, Country AS country,
            CASE WHEN InvoiceNo LIKE 'C%' THEN 'refund' ELSE 'sale' END AS line_kind
        FROM texts JOIN dates ON text = InvoiceDate""")
    return duck


def wait_for(what, expected, count, seconds):
    """Polls `count()` until it gives `expected`."""
    until = time.monotonic() + seconds
    while (seen := count()) != expected:
        if time.monotonic() > until:
            print(f"FAILED: {what} holds {seen} of {expected} lines after {seconds} s")
            sys.exit(1)
        time.sleep(1)


def compare(report, source, expect, ask):
    """Every figure of one reader. `ask(query)` gives rows, `expect` asks the file."""
    for name, expected, actual in zip(TOTAL_NAMES, expect(TOTALS)[0], ask(TOTALS)[0], strict=True):
        report.figure(source, name, expected, actual)
    report.figure(source, "different lines", expect(DISTINCT)[0][0], ask(DISTINCT)[0][0])
    report.figure(source, "sum(line_amount)", expect(TOTALS)[0][1], ask(LINE_AMOUNT)[0][0])
    report.table(source, "revenue by day", expect(BY_DAY), ask(BY_DAY))
    report.table(source, "revenue by country", expect(BY_COUNTRY), ask(BY_COUNTRY))
    lines = expect(TOTALS)[0][0]
    report.table(source, "lines by currency", [("GBP", lines)], ask(CURRENCIES))


def check(url, data_dir, file, wait_seconds, views=None):
    """Compares everything, sampled views included; ends the script."""
    duck = file_as_lines(file)
    expect = lambda query: duck.execute(query.format(lines="file_lines")).fetchall()
    ours = lambda query: common.sql(url, query.format(lines="order_lines"))
    lines = expect("SELECT count(*) FROM {lines}")[0][0]
    report = common.Report()

    wait_for("order_lines in SQL", lines,
             lambda: int(ours("SELECT count(*) FROM {lines}")[0][0]), wait_seconds)
    compare(report, "tradewind sql", expect, ours)

    folder = pathlib.Path(data_dir) / "lake" / "order_lines"
    def committed():
        if not (folder / "_delta_log").exists():
            return 0
        return DeltaTable(str(folder)).count()
    wait_for(f"{folder}", lines, committed, wait_seconds)
    table = DeltaTable(str(folder))
    duck.register("delta_lines", table.to_pyarrow_table())
    compare(report, "deltalake", expect,
            lambda query: duck.execute(query.format(lines="delta_lines")).fetchall())
    files = table.file_uris()
    duck.execute("""
        CREATE VIEW parquet_lines AS
        SELECT * FROM read_parquet(?, hive_partitioning = true,
            hive_types = {'event_date': DATE, 'store_id': VARCHAR})""".replace("?", str(files)))
    compare(report, "duckdb on parquet", expect,
            lambda query: duck.execute(query.format(lines="parquet_lines")).fetchall())
    offsets = "SELECT count(*), count(DISTINCT (_partition, _offset)) FROM delta_lines"
    rows, positions = duck.execute(offsets).fetchall()[0]
    report.figure("deltalake", "log positions", rows, positions)
    if views is not None:
        views.compare(report, duck, lines)
    report.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running server the file was replayed to")
    parser.add_argument("--data-dir", help="that server's data folder")
    parser.add_argument("--binary", help="start this tradewind, replay the file, stop it")
    parser.add_argument("--wait-seconds", type=int, default=300)
    arguments = parser.parse_args()
    file = common.shared_data("online_retail/online-retail-dataset.csv.gz")
    if file is None:
        sys.exit(0)
    if arguments.binary is None:
        check(arguments.url, arguments.data_dir, file, arguments.wait_seconds)
    with server.running(arguments.binary) as running:
        mapping = common.PROJECT / "examples" / "online_retail" / "mapping.toml"
        with live_views.Samples(running.url) as views:
            running.replay(file, mapping)
        check(running.url, running.data_dir, file, arguments.wait_seconds, views)


if __name__ == "__main__":
    main()

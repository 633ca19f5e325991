"""Other people's Flight SQL clients against the Flight port, with orders whose sums are known.

ADBC as a DB-API connection: values that keep their digits, pandas with a million rows, parameters,
statements that change something, what there is, mistakes, a cancel. pyarrow's own client: the
messages by hand, sessions, streams that are let go. The Flight SQL JDBC driver, by
tests/clients/jdbc.

    python tests/acceptance/flight_clients.py --binary target/debug/tradewind

Guarantees: what must hold is checked; every value is compared exactly.
Left out: rates, which `bench/` measures.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import pyarrow
import pyarrow.flight

import common
import maven
import server

JDBC = ("org.apache.arrow", "flight-sql-jdbc-driver", "18.3.0")
ORDERS = 12
MILLION = 1_000_000
# Arrow's buffers, which the driver reaches into the JDK for.
JVM = ["--add-opens=java.base/java.nio=ALL-UNNAMED", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]


class Failed(Exception):
    """Something that must hold does not."""


def must(holds, *said):
    if not holds:
        raise Failed(" ".join(map(str, said)))


def send_orders(running):
    """Orders of 10.01, 20.02 …, seen by SQL when this returns."""
    calls = [{"type": "track", "event": "Order Completed", "messageId": f"o{number}", "userId": "ada",
              "timestamp": "2026-03-29T01:30:00.123Z",
              "properties": {"order_id": str(number), "currency": "EUR",
                             "total": f"{number * 10}.{number:02}",
                             "revenue": f"{number * 10}.{number:02}",
                             "products": [{"product_id": "p", "sku": "s", "price": "1", "quantity": 1}]}}
             for number in range(1, ORDERS + 1)]
    body = json.dumps({"batch": calls, "writeKey": "demo"}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{running.url}/v1/batch", data=body), timeout=30)
    for _ in range(600):
        if common.sql(running.url, "SELECT count(*) FROM orders") == [[ORDERS]]:
            break
        time.sleep(0.1)
    else:
        raise Failed("the orders were not seen")
    common.sql(running.url, "CREATE TABLE keyed (k BIGINT, v STRING, PRIMARY KEY (k) NOT ENFORCED) "
                            "WITH ('connector' = 'upsert-kafka', 'topic' = 'keyed', "
                            "'key.format' = 'json', 'value.format' = 'json')", dialect="flink")


def adbc(address, running):
    """ADBC as Python's DB-API."""
    with adbc_driver_flightsql.dbapi.connect(f"grpc://{address}", autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(total), count(*), min(event_time) FROM orders")
            total, count, first = cursor.fetchone()
            expected = sum(decimal.Decimal(f"{n * 10}.{n:02}") for n in range(1, ORDERS + 1))
            must(isinstance(total, decimal.Decimal) and total == expected, "the sum is", total)
            must(count == ORDERS, "orders:", count)
            must(first == datetime.datetime(2026, 3, 29, 1, 30, 0, 123000, datetime.timezone.utc), first)
            same = common.sql(running.url, "SELECT sum(total) FROM orders")[0][0]
            must(decimal.Decimal(same) == total, "HTTP says", same, "and Flight", total)
            many(cursor)
            parameters(cursor)
            changes(cursor)
            mistakes(cursor)
            cancelled(cursor)
        things(connection)
    print("  adbc: ok")


def many(cursor):
    """A million rows, as pandas and as Arrow; and let go in the middle."""
    query = ("SELECT value, 'row ' || value AS text, value::DECIMAL(20, 2) / 4 AS quarter "
             f"FROM generate_series(1, {MILLION}) AS t(value)")
    cursor.execute(query)
    frame = cursor.fetch_df()
    must(len(frame) == MILLION, "pandas has", len(frame))
    must(int(frame["value"].sum()) == MILLION * (MILLION + 1) // 2, frame["value"].sum())
    must((frame["text"] == "row " + frame["value"].astype(str)).all(), "texts of other rows")
    cursor.execute(query)
    table = cursor.fetch_arrow_table()
    must(table.num_rows == MILLION and table.column("quarter").type.scale >= 2, table.schema)
    cursor.execute(query)
    must(cursor.fetchone() is not None, "no first row")


def parameters(cursor):
    cursor.execute("SELECT order_id FROM orders WHERE total > $1 AND currency = $2 ORDER BY total DESC",
                   (decimal.Decimal("100.00"), "EUR"))
    must([row[0] for row in cursor.fetchall()] == ["12", "11", "10"], "parameters")
    cursor.execute("SELECT $1::BIGINT, $2::TEXT, $3::DATE", (None, "it's", datetime.date(2026, 2, 28)))
    must(cursor.fetchone() == (None, "it's", datetime.date(2026, 2, 28)), "nulls and dates")


def changes(cursor):
    cursor.execute("CREATE VIEW of_adbc AS SELECT order_id FROM orders WHERE total > 100")
    cursor.execute("SELECT count(*) FROM of_adbc")
    must(cursor.fetchone() == (3,), "the view")
    cursor.execute("DROP VIEW of_adbc")


def mistakes(cursor):
    for query, said in [("SELECT totl FROM orders", "did you mean \"total\""), ("SELEC 1", "SELEC"),
                        ("SELECT 1 / (value - 1) FROM generate_series(1, 2) AS t(value)", "division by zero")]:
        try:
            cursor.execute(query)
            cursor.fetchall()
        except adbc_driver_manager.Error as error:
            must(said in str(error), query, "says", error)
        else:
            raise Failed(f"{query} has an answer")


def cancelled(cursor):
    """A statement that somebody ends from beside it."""
    cursor.execute("SELECT a.value FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b")
    reader = cursor.fetch_record_batch()
    reader.read_next_batch()
    cursor.adbc_cancel()
    try:
        for _ in range(1_000):
            reader.read_next_batch()
    except (pyarrow.ArrowCancelled, pyarrow.ArrowInvalid, OSError, adbc_driver_manager.Error):
        return
    raise Failed("a cancelled statement went on")


def things(connection):
    tree = connection.adbc_get_objects(depth="columns", db_schema_filter="public",
                                       table_name_filter="orders").read_all().to_pylist()
    schemas = {schema["db_schema_name"]: schema for schema in tree[0]["catalog_db_schemas"]}
    tables = {table["table_name"]: table for table in schemas["public"]["db_schema_tables"]}
    must(tables["orders"]["table_type"] == "TABLE", tables.keys())
    columns = [column["column_name"] for column in tables["orders"]["table_columns"]]
    must("total" in columns and "event_time" in columns, columns)
    must(set(connection.adbc_get_table_types()) == {"SYSTEM TABLE", "TABLE", "VIEW"}, "kinds")
    must(connection.adbc_get_info()["vendor_name"] == "Tradewind", "name")
    schema = connection.adbc_get_table_schema("orders", db_schema_filter="public")
    must(pyarrow.types.is_decimal(schema.field("total").type), schema)


def by_hand(address):
    """pyarrow's client: one connection, messages without a driver's help."""
    client = pyarrow.flight.connect(f"grpc://{address}")
    header, token = client.authenticate_basic_token("anybody", "anything")
    must(header == b"authorization" and token.startswith(b"Bearer "), header, token)
    actions = {action.type for action in client.list_actions()}
    must({"CancelFlightInfo", "CreatePreparedStatement", "SetSessionOptions"} <= actions, actions)
    descriptor = pyarrow.flight.FlightDescriptor.for_command(
        statement(f"SELECT value FROM generate_series(1, {MILLION}) AS t(value)"))
    info = client.get_flight_info(descriptor)
    must(info.schema.names == ["value"], info.schema)
    endpoint = info.endpoints[0]
    must(endpoint.expiration_time is not None, "a ticket without an end")
    must(client.do_get(endpoint.ticket).read_all().num_rows == MILLION, "by hand")
    reader = client.do_get(endpoint.ticket)
    reader.read_chunk()
    cancel = pyarrow.flight.Action("CancelFlightInfo", field(1, info.serialize()))
    # A CancelFlightInfoResult whose status is CANCEL_STATUS_CANCELLED.
    must([result.body.to_pybytes() for result in client.do_action(cancel)] == [b"\x08\x01"], "not cancelled")
    try:
        while True:
            reader.read_chunk()
    except StopIteration:
        raise Failed("a cancelled flight came to its end") from None
    except pyarrow.ArrowException:
        pass
    for command in [b"", b"garbage", b"\xff" * 100]:
        try:
            client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(command))
        except pyarrow.ArrowException:
            continue
        raise Failed(f"{command} has an answer")
    print("  pyarrow: ok")


def field(number, value):
    """A field of bytes as protobuf writes it."""
    size, length = len(value), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def statement(query):
    """A CommandStatementQuery in an Any."""
    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return field(1, name) + field(2, field(1, query.encode()))


EXPECTED = """server: Tradewind
quote: "
catalogs: [tradewind]
has public: true
kinds: [SYSTEM TABLE, TABLE, VIEW]
tables: [orders]
column: total 3 18,6
keys: [k]
transactions: false
amount: true
id: 9007199254740993
text: true
day: 2026-02-28
at: 2026-03-29T01:30:00.123456Z
nothing: null
half: 0.5 true
more: false
bound: 2 it's 1 10.50
bound: 3 it's 2 10.50
made: 0
view: 7
zone: Asia/Tokyo
mistake: true
many: 300000 45000150000
after: 1
with a name: in
"""


def jdbc(address):
    """The JDBC driver, by a program of its own."""
    jars = f"{maven.jars(*JDBC)}/*"
    folder = maven.CACHE / "clients" / "jdbc"
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", str(folder),
                    str(common.PROJECT / "tests" / "clients" / "jdbc" / "Jdbc.java")], check=True)
    done = subprocess.run(["java", *JVM, "-Duser.timezone=UTC", "-cp", f"{jars}:{folder}", "Jdbc", address],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    must(done.returncode == 0, done.stdout, done.stderr[-4_000:])
    said = done.stdout.splitlines()
    differing = [pair for pair in zip(EXPECTED.splitlines(), said) if pair[0] != pair[1]]
    must(said == EXPECTED.splitlines(), "expected and said:", differing, said)
    print("  jdbc: ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--clients", nargs="+", choices=["adbc", "pyarrow", "jdbc"],
                        default=["adbc", "pyarrow", "jdbc"])
    chosen = parser.parse_args()
    with server.running(chosen.binary) as running:
        send_orders(running)
        address = f"127.0.0.1:{running.flight_port}"
        try:
            if "adbc" in chosen.clients:
                adbc(address, running)
            if "pyarrow" in chosen.clients:
                by_hand(address)
            if "jdbc" in chosen.clients:
                jdbc(address)
        except Failed as failed:
            sys.exit(f"FAILED: {failed}")
    print("PASSED")


if __name__ == "__main__":
    main()

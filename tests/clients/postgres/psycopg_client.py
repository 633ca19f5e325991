"""psycopg before the Postgres port: `psycopg_client.py PORT` prints PASSED or says what is wrong."""

import datetime
import decimal
import sys
import threading
import time
import uuid

import psycopg
from psycopg.rows import dict_row

PORT = int(sys.argv[1])
ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
UTC = datetime.timezone.utc


def connect(**more):
    return psycopg.connect(host="127.0.0.1", port=PORT, user="ann", dbname="shop", **more)


def equal(found, expected, what):
    assert found == expected and type(found) is type(expected), f"{what}: {found!r}, not {expected!r}"


def values():
    """Every type goes there and back, in text and in binary."""
    digits = decimal.Decimal
    all_values = [
        True, False, 0, -1, 32_767, 2_147_483_647, 9_223_372_036_854_775_807,
        1.5, -0.1, float("inf"), 1e300,
        digits("2.50"), digits("-0.00"), digits("12345678901234567890123456789012345678"),
        digits("0.00000000000000000000000000000000000001"), digits("-99999999999999999999.999999999"),
        "text", "", "ü 漢字 \\ ' \" \n", b"", b"\x00\xff\\",
        datetime.date(2024, 2, 29), datetime.date(1, 1, 1), datetime.date(9999, 12, 31),
        datetime.time(23, 59, 59, 999_999),
        datetime.datetime(2024, 2, 29, 12, 34, 56, 789_012),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        datetime.timedelta(days=-3, hours=4, microseconds=5),
        [1, 2, None], [1.5, None],
        [digits("1.50"), digits("2.25")], [True, None], [datetime.date(2024, 1, 1)],
    ]
    with connect(autocommit=True) as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for value in all_values:
                found = cursor.execute("SELECT %s", [value], binary=binary).fetchone()[0]
                equal(found, value, f"binary={binary}")
            # In text psycopg leaves the type of a list of texts open, and it comes back as text.
            texts = ["a", 'b "c"', "", None, "null", "\\"]
            equal(cursor.execute("SELECT %b", [texts]).fetchone()[0], texts, "a list of texts")
            for way in ("%s", "%b", "%t"):
                found = cursor.execute(f"SELECT {way} + 1", [41]).fetchone()[0]
                assert found == 42, found
            moment = datetime.datetime(2024, 7, 1, 12, 0, 0, 1, tzinfo=UTC)
            cursor.execute("SET timezone = 'Europe/Berlin'")
            found = cursor.execute("SELECT %s", [moment]).fetchone()[0]
            assert found == moment and found.utcoffset() == datetime.timedelta(hours=2), found
            cursor.execute("SET timezone = 'UTC'")
            found = cursor.execute("SELECT %s", [None]).fetchone()[0]
            equal(found, None, "null")
            number = uuid.uuid4()
            equal(cursor.execute("SELECT %s", [number]).fetchone()[0], str(number), "uuid")
            found = cursor.execute("SELECT named_struct('a', [1, 2], 'b', 2.50)").fetchone()[0]
            equal(found, {"a": [1, 2], "b": "2.50"}, "an object")


def decimals():
    """Arithmetic is exact to the last digit."""
    with connect(autocommit=True) as connection:
        for binary in (False, True):
            sql = "SELECT sum(CAST(value AS DECIMAL(38, 2)) / 100) FROM generate_series(1, 100000)"
            found = connection.cursor(binary=binary).execute(
                "SELECT CAST('1234567890123456789012345678.0123456789' AS DECIMAL(38, 10)), %s + %s",
                [decimal.Decimal("0.1"), decimal.Decimal("0.2")]).fetchone()
            assert found[0] == decimal.Decimal("1234567890123456789012345678.0123456789"), found
            assert found[1] == decimal.Decimal("0.3"), found
            found = connection.cursor(binary=binary).execute(sql).fetchone()[0]
            assert found == decimal.Decimal("50000500"), found


def cursors():
    """Cursors on the server, within a transaction and beyond."""
    with connect() as connection:
        with connection.cursor(name="rows") as cursor:
            cursor.itersize = 1_000
            cursor.execute("SELECT value FROM generate_series(1, 50000) WHERE value > %s", [10])
            assert sum(row[0] for row in cursor) == 50_000 * 50_001 // 2 - 55
        connection.rollback()
        with connection.cursor(name="held", withhold=True) as cursor:
            cursor.execute("SELECT value FROM generate_series(1, 100)")
            connection.commit()
            assert len(cursor.fetchmany(30)) == 30 and len(cursor.fetchall()) == 70
        rows = connection.cursor().stream("SELECT value FROM generate_series(1, 10000)")
        assert sum(row[0] for row in rows) == 50_005_000
        connection.rollback()
        row = connection.cursor(row_factory=dict_row).execute("SELECT 1 AS a, 'x' AS b").fetchone()
        assert row == {"a": 1, "b": "x"}, row


def copies():
    """COPY TO, row by row and as it comes, in text and in binary."""
    query = "SELECT value, value * 1.5, 'a\tb', NULL FROM generate_series(1, 10000)"
    with connect() as connection, connection.cursor() as cursor:
        for form in ("TEXT", "BINARY"):
            with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT {form})") as copy:
                copy.set_types(["int8", "numeric", "text", "text"])
                rows = list(copy.rows())
            assert len(rows) == 10_000
            assert rows[9] == (10, decimal.Decimal("15.0"), "a\tb", None), rows[9]
        with cursor.copy("COPY (SELECT 1, NULL) TO STDOUT CSV HEADER") as copy:
            text = b"".join(bytes(piece) for piece in copy).decode()
        assert text.endswith("\n1,\n"), text


def pipelines():
    """Many statements without waiting; a mistake ends its group."""
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int + 1", [n]) for n in range(100)]
            found = [cursor.fetchone()[0] for cursor in cursors]
        assert found == list(range(1, 101)), found
        try:
            with connection.pipeline() as pipeline:
                connection.execute("SELECT nothing")
                connection.execute("SELECT 1")
                pipeline.sync()
            raise AssertionError("nothing was found")
        except psycopg.errors.UndefinedColumn:
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,)


def transactions():
    """Blocks, savepoints, failed blocks, settings, notices."""
    with connect() as connection:
        connection.execute("SELECT 1")
        try:
            connection.execute("SELECT 1 / 0")
            raise AssertionError("it was divided")
        except psycopg.errors.DivisionByZero as error:
            assert error.sqlstate == "22012"
        try:
            connection.execute("SELECT 1")
            raise AssertionError("the block goes on")
        except psycopg.errors.InFailedSqlTransaction:
            connection.rollback()
        with connection.transaction():
            try:
                with connection.transaction():
                    connection.execute("SELECT * FROM missing")
            except psycopg.errors.UndefinedTable as error:
                assert error.diag.message_primary == 'table "missing" does not exist', error
            assert connection.execute("SELECT 2").fetchone() == (2,)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        found = connection.execute("SHOW transaction_isolation").fetchone()
        assert found == ("repeatable read",), found
        try:
            connection.execute("CREATE VIEW v AS SELECT 1")
            raise AssertionError("it was changed")
        except psycopg.errors.ReadOnlySqlTransaction:
            connection.rollback()
    with connect(autocommit=True, options="-c statement_timeout=300") as connection:
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.sqlstate))
        connection.execute("COMMIT")
        assert notices == ["25P01"], notices
        try:
            connection.execute(ENDLESS)
            raise AssertionError("it ended")
        except psycopg.errors.QueryCanceled as error:
            assert "timeout" in str(error), error
        assert connection.info.parameter_status("TimeZone") == "UTC"
        connection.execute("SET timezone = 'Asia/Kolkata'")
        assert connection.info.parameter_status("TimeZone") == "Asia/Kolkata"


def prepared():
    """Statements that are prepared after a few executions, and forgotten."""
    with connect(autocommit=True, prepare_threshold=2) as connection:
        for number in range(10):
            found = connection.execute("SELECT %s::bigint * 2", [number]).fetchone()[0]
            assert found == number * 2
        connection.execute("DEALLOCATE ALL")
        connection.prepared_max = 2
        for number in range(20):
            assert connection.execute(f"SELECT %s + {number}", [1], prepare=True).fetchone()[0] == number + 1


def cancelling():
    """Another thread ends a statement."""
    with connect(autocommit=True) as connection:
        def later():
            time.sleep(0.5)
            connection.cancel_safe()
        thread = threading.Thread(target=later)
        thread.start()
        try:
            connection.execute(ENDLESS)
            raise AssertionError("it ended")
        except psycopg.errors.QueryCanceled:
            pass
        thread.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


for test in (values, decimals, cursors, copies, pipelines, transactions, prepared, cancelling):
    try:
        test()
    except Exception:
        print(f"{test.__name__} failed", flush=True)
        raise
print("PASSED")

"""What the acceptance scripts share: asking a server, comparing figures, finding real data.

Guarantees: figures are compared as exact decimals, never as floats; every comparison is printed,
and `Report.finish` exits with 1 when one differs.
Left out: starting servers, which is in `server.py`.
"""

import decimal
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[2]
# Differences listed for one table of figures; all are counted.
DIFFERENCES_SHOWN_MAX = 10


def exact(value):
    """Numbers as normalised decimals, everything else as it is."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return decimal.Decimal(value)
    if isinstance(value, float):
        raise TypeError(f"a float where an exact number is due: {value!r}")
    if isinstance(value, decimal.Decimal):
        return value.normalize() + 0
    try:
        return decimal.Decimal(value).normalize() + 0
    except (decimal.InvalidOperation, TypeError):
        return value


def sql(url, query, timeout=120, dialect="postgres"):
    """The rows the server answers `query` with, as lists."""
    request = urllib.request.Request(
        f"{url}/api/sql",
        data=json.dumps({"sql": query, "dialect": dialect}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.loads(response.read(), parse_float=decimal.Decimal)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}/api/sql answered {error.code} to\n{query}\n{error.read().decode()}")
    if answer.get("error") or answer.get("truncated"):
        raise SystemExit(f"{url}/api/sql did not answer in full\n{query}\n{answer}")
    return answer["rows"]


def shared_data(name):
    """The path of a real data set, or None after saying that the test is skipped and why."""
    root = os.environ.get("TRADEWIND_SHARED_DATA") or PROJECT.parent / "shared" / "data"
    path = pathlib.Path(root) / name
    if path.exists():
        return path
    print(f"SKIPPED: {path} is not there (TRADEWIND_SHARED_DATA names the folder of real data)")
    return None


class Report:
    """Compares figures and keeps count."""

    def __init__(self):
        self.differences = 0

    def figure(self, source, name, expected, actual):
        """One number or text."""
        expected, actual = exact(expected), exact(actual)
        if expected == actual:
            print(f"  same   {source:<22} {name:<28} {plain(actual)}")
            return
        self.differences += 1
        print(f"  DIFFER {source:<22} {name:<28} expected {plain(expected)}, is {plain(actual)}")

    def table(self, source, name, expected, actual):
        """Figures by key: rows of (key, number)."""
        expected = {str(key): exact(value) for key, value in expected}
        actual = {str(key): exact(value) for key, value in actual}
        wrong = [key for key in sorted(expected.keys() | actual.keys())
                 if expected.get(key) != actual.get(key)]
        if not wrong:
            print(f"  same   {source:<22} {name:<28} {len(actual)} rows")
            return
        self.differences += len(wrong)
        print(f"  DIFFER {source:<22} {name:<28} {len(wrong)} of {len(expected)} rows")
        for key in wrong[:DIFFERENCES_SHOWN_MAX]:
            print(f"         {key}: expected {plain(expected.get(key))}, is {plain(actual.get(key))}")

    def finish(self):
        """Ends the script."""
        if self.differences:
            print(f"FAILED: {self.differences} figures differ")
            sys.exit(1)
        print("PASSED: every figure is the same")
        sys.exit(0)


def plain(value):
    """A number without an exponent."""
    return f"{value:f}" if isinstance(value, decimal.Decimal) else str(value)

"""A dbt project against a server, as somebody with dbt-postgres runs it.

    python tests/acceptance/dbt_project.py --binary target/debug/tradewind
    python tests/acceptance/dbt_project.py --pg-port 5433 [--real-data]

`tests/dbt` is built in the order of a working week: seed, run up to a day, run the rest (the
incremental table grows), run once more (nothing doubles), test, docs. Then the figures of the tables
are compared with those of the seed's text, added up here as decimals, and a broken row has to make
`dbt test` fail. With --real-data the seed is the first lines of the year of real orders.

dbt comes from `scripts/python.sh tests/dbt/requirements.txt`.
"""

import argparse
import collections
import csv
import datetime
import decimal
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import common
import server

PROJECT = common.PROJECT / "tests" / "dbt"
REQUIREMENTS = "tests/dbt/requirements.txt"
UNTIL = {False: "2024-03-10 00:00:00", True: "2010-12-05 00:00:00"}
REAL = "online_retail/online-retail-dataset.csv.gz"
REAL_LINES = 20_000
SECONDS_MAX = 600


class Dbt:
    """dbt over a copy of the project."""

    def __init__(self, folder, port):
        self.folder = folder / "dbt"
        shutil.copytree(PROJECT, self.folder, ignore=shutil.ignore_patterns("target", "logs"))
        python = subprocess.run([common.PROJECT / "scripts" / "python.sh", REQUIREMENTS],
                                check=True, capture_output=True, text=True).stdout.strip()
        self.program = pathlib.Path(python).with_name("dbt")
        self.python = python
        self.port = str(port)

    def run(self, *arguments, expected=0):
        """Runs a command of dbt's; ends the script when it does not end as expected."""
        done = subprocess.run(
            [self.program, "--no-use-colors", *arguments, "--project-dir", self.folder,
             "--profiles-dir", self.folder], env=os.environ | {"TRADEWIND_PG_PORT": self.port},
            capture_output=True, text=True, timeout=SECONDS_MAX)
        last = next((line for line in reversed(done.stdout.splitlines()) if "Done." in line), "")
        print(f"dbt {' '.join(arguments)}: {last.partition('Done. ')[2] or done.returncode}")
        if done.returncode != expected:
            sys.exit(f"dbt ended with {done.returncode}, not {expected}\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
        return done.stdout

    def ask(self, query):
        """Rows as lists of texts, through psycopg2, which dbt brings along."""
        program = (
            "import json, sys, psycopg2\n"
            f"c = psycopg2.connect(host='127.0.0.1', port={self.port}, user='tradewind', dbname='tradewind')\n"
            "c.autocommit = True\n"
            "k = c.cursor(); k.execute(sys.argv[1])\n"
            "print(json.dumps([[None if v is None else str(v) for v in r] for r in k.fetchall()] if k.description else []))")
        done = subprocess.run([self.python, "-c", program, query], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{query}\n{done.stderr}")
        return json.loads(done.stdout)


def real_seed(folder):
    """The first lines of the year of real orders in the seed's columns. Countries go with them."""
    file = common.shared_data(REAL)
    countries = set()
    with gzip.open(file, "rt", encoding="utf-8", errors="replace") as source, \
            open(folder / "orders.csv", "w", newline="") as orders:
        out = csv.writer(orders)
        out.writerow(["invoice_no", "stock_code", "quantity", "ordered_at", "unit_price",
                      "customer_id", "country"])
        for number, row in enumerate(csv.DictReader(source)):
            if number == REAL_LINES:
                break
            at = datetime.datetime.strptime(row["InvoiceDate"], "%m/%d/%Y %H:%M")
            # One letter before it, so that dbt's seed does not take some for numbers.
            out.writerow(["N" + row["InvoiceNo"], row["StockCode"], row["Quantity"], at,
                          row["UnitPrice"], row["CustomerID"], row["Country"]])
            countries.add(row["Country"])
    with open(folder / "countries.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["country", "region"])
        out.writerows((country, "Somewhere") for country in sorted(countries))


def figures(file):
    """What the tables have to say, from the seed's text."""
    days, customers = collections.defaultdict(decimal.Decimal), collections.defaultdict(set)
    invoices = collections.defaultdict(decimal.Decimal)
    lines = 0
    with open(file, newline="") as source:
        for row in csv.DictReader(source):
            # The seed's column has two digits; a third rounds half away from zero.
            price = decimal.Decimal(row["unit_price"]).quantize(
                decimal.Decimal("0.01"), decimal.ROUND_HALF_UP)
            amount = int(row["quantity"]) * price
            days[row["ordered_at"][:10]] += amount
            invoices[row["invoice_no"]] += amount
            if row["customer_id"]:
                customers[row["customer_id"]].add(row["invoice_no"])
            lines += 1
    return lines, days, invoices, customers


def compare(dbt, report):
    lines, days, invoices, customers = figures(dbt.folder / "seeds" / "orders.csv")
    [[count, in_table]] = dbt.ask(
        "SELECT (SELECT count(*) FROM dbt_raw.orders), (SELECT sum(lines) FROM dbt.invoices)")
    report.figure("the seed", "lines", lines, count)
    report.figure("the incremental table", "lines", lines, in_table)
    report.table("daily_revenue", "net by day", days.items(),
                 dbt.ask("SELECT ordered_on, net FROM dbt.daily_revenue"))
    report.table("invoices", "amount by invoice", invoices.items(),
                 dbt.ask("SELECT invoice_no, amount FROM dbt.invoices"))
    report.table("customers", "invoices by customer",
                 [(name, len(all_of_them)) for name, all_of_them in customers.items()],
                 dbt.ask("SELECT customer_id, invoices FROM dbt.customers"))


def week(dbt, real, report):
    if real:
        real_seed(dbt.folder / "seeds")
    dbt.run("debug")
    dbt.run("seed")
    dbt.run("run", "--vars", json.dumps({"until": UNTIL[real]}))
    [[some]] = dbt.ask("SELECT count(*) FROM dbt.invoices")
    dbt.run("run")
    [[all_of_them]] = dbt.ask("SELECT count(*) FROM dbt.invoices")
    report.figure("the incremental table", "grew", True, 0 < int(some) < int(all_of_them))
    dbt.run("run")
    dbt.run("seed")
    dbt.run("test")
    compare(dbt, report)
    dbt.run("docs", "generate")
    catalog = json.loads((dbt.folder / "target" / "catalog.json").read_text())
    columns = catalog["nodes"]["model.shop.invoices"]["columns"]
    report.figure("dbt's docs", "columns of invoices", 6, len(columns))
    dbt.run("run", "--full-refresh")
    compare(dbt, report)
    dbt.ask("INSERT INTO dbt.invoices SELECT * FROM dbt.invoices LIMIT 1")
    said = dbt.run("test", "--select", "invoices", expected=1)
    report.figure("dbt test", "a doubled row fails", 1, said.count("PASS=1 WARN=0 ERROR=1"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary")
    parser.add_argument("--pg-port", type=int)
    parser.add_argument("--real-data", action="store_true")
    options = parser.parse_args()
    report = common.Report()
    if options.real_data and common.shared_data(REAL) is None:
        sys.exit(0)
    with tempfile.TemporaryDirectory(prefix="tradewind-dbt-") as folder:
        folder = pathlib.Path(folder)
        if options.binary:
            with server.running(options.binary, folder=folder) as running:
                week(Dbt(folder, running.postgres_port), options.real_data, report)
        else:
            week(Dbt(folder, options.pg_port), options.real_data, report)
    report.finish()


if __name__ == "__main__":
    main()

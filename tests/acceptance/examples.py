"""The examples that need no server: each folder's query.sql answers its expected.csv.

    python tests/acceptance/examples.py --binary target/debug/tradewind
"""

import argparse
import csv
import io
import pathlib
import subprocess

import common


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    binary = pathlib.Path(parser.parse_args().binary).resolve()
    report = common.Report()
    for query in sorted((common.PROJECT / "examples").glob("*/query.sql")):
        folder = query.parent
        answered = subprocess.run([binary, "sql", "-f", query.name, "--format", "csv"], cwd=folder,
                                  stdout=subprocess.PIPE, text=True, check=True)
        actual = list(csv.reader(io.StringIO(answered.stdout)))
        expected = list(csv.reader((folder / "expected.csv").open()))
        for place, row in enumerate(expected):
            answer = actual[place] if place < len(actual) else None
            report.figure(folder.name, f"row {place}", str(row), str(answer))
        report.figure(folder.name, "rows", len(expected), len(actual))
    report.finish()


if __name__ == "__main__":
    main()

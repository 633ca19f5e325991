"""Nexmark: nine queries over two million events in a file, as streams, ours and Flink's.

A query is one script that both run unchanged (queries/source.sql, then queries/qN.sql) in a process
of its own, from a file of JSON lines into a sink that keeps nothing. Of each time an empty run is
subtracted: the same script over a file of no events. Resident memory is the peak of the process.
Programs take turns; the file is read once before, so that it is in the page cache. The best of the
turns counts. DuckDB, where it can answer the same by one batch query, is asked for orientation.

Flink is whatever TRADEWIND_FLINK names: a program that runs the statements of a script on a local
Flink, waits for each INSERT, and prints the changelog of each SELECT. Without it ours runs alone.

    bench/run.sh nexmark                  # all of it
    PYTHONPATH=bench python3 bench/nexmark/run.py --queries q5 q7
    PYTHONPATH=bench python3 bench/nexmark/run.py --check   # what both leave, compared

Guarantees: `--check` fails when a table differs from Flink's in a row.
Left out: clusters, and rates at which a query keeps up; a file is read as fast as it goes.
"""

import argparse
import collections
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import benchlib
import duck

HERE = pathlib.Path(__file__).resolve().parent
FLINK = os.environ.get("TRADEWIND_FLINK")
EVENTS = int(2_000_000 * benchlib.SCALE)
CHECK_EVENTS = 20_000
# Slow enough for several windows in so few events.
CHECK_RATE = 500
QUERIES = ["q0", "q1", "q2", "q3", "q5", "q7", "q8", "q17", "q20"]
# One watermark for each row, in the file's order: what is late does not depend on the machine.
CHECK_SETTINGS = "SET parallelism.default = 1;\nSET pipeline.auto-watermark-interval = 0 ms;\n"
ROW = re.compile(r"^([+-][IUD])(\[.*)$")


def generator():
    """The generator, built."""
    target = benchlib.FOLDER / "nexmark-generator"
    subprocess.run(["cargo", "build", "--quiet", "--release", "--target-dir", target,
                    "--manifest-path", HERE / "generator" / "Cargo.toml"], check=True)
    return target / "release" / "nexmark-generator"


def generate(events, *options):
    """A file of so many events; one that is there already is taken as it is."""
    name = "-".join(["nexmark", str(events), *(option.strip("-") for option in options)])
    path = benchlib.FOLDER / f"{name}.json"
    if not path.exists():
        print(f"  making {path}")
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            subprocess.run([generator(), "--events", str(events), *options], stdout=file,
                           check=True)
        partial.rename(path)
    return path


def script(query, path, select=False):
    """The text of a query over a file: into its sink, or as a SELECT."""
    source = (HERE / "queries" / "source.sql").read_text().replace("{path}", str(path))
    text = (HERE / "queries" / f"{query}.sql").read_text()
    if select:
        text, count = re.subn(r"(?m)^INSERT INTO \w+\n", "", text)
        assert count == 1, f"{query}.sql has one INSERT INTO on a line of its own"
    return f"{source}\n{text}"


class Run:
    """A program run over a script: wall seconds, processor seconds, peak bytes, what it said."""

    def __init__(self, command, text):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "query.sql"
            file.write_text(text)
            out, err = pathlib.Path(folder) / "out", pathlib.Path(folder) / "err"
            started = time.monotonic()
            with out.open("wb") as stdout, err.open("wb") as stderr:
                process = subprocess.Popen([*command, str(file)], stdout=stdout, stderr=stderr)
                _, status, usage = os.wait4(process.pid, 0)
            self.seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            self.peak_bytes = usage.ru_maxrss * 1024
            self.out = out.read_text(errors="replace")
            self.err = err.read_text(errors="replace")
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed with {process.returncode}\n"
                     f"{text}\n{self.err[:3000]}")


def ours(*options):
    return [benchlib.BINARY, "run", *options]


def measure(query, path, nothing, turns, with_flink):
    """One query by everybody: {program: figures}."""
    programs = {"tradewind": ours("--stats")}
    if with_flink:
        programs["flink"] = [FLINK]
    best = {}
    for _ in range(turns):
        for name, command in programs.items():
            empty = Run(command, script(query, nothing))
            full = Run(command, script(query, path))
            one = best.setdefault(name, {"empty_run_s": math.inf, "run_s": math.inf,
                                         "cpu_s": math.inf, "peak_bytes": 0})
            one["empty_run_s"] = min(one["empty_run_s"], empty.seconds)
            one["run_s"] = min(one["run_s"], full.seconds)
            one["cpu_s"] = min(one["cpu_s"], full.cpu_seconds)
            one["peak_bytes"] = max(one["peak_bytes"], full.peak_bytes)
            if name == "tradewind":
                one["stats"] = full.err.strip().splitlines()[-1:]
    for one in best.values():
        one["work_s"] = one["run_s"] - one["empty_run_s"]
    return best


def mean(ratios):
    """The geometric mean."""
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


def seconds(one, key="work_s"):
    return f"{one[key]:.2f} s" if one else ""


def table(results):
    """Prints what was measured."""
    rows, ratios, shares = [], [], []
    for query, one in results.items():
        ours, flink = one["tradewind"], one.get("flink")
        ratio = share = duck_time = ""
        if flink:
            ratios.append(flink["work_s"] / ours["work_s"])
            shares.append(flink["peak_bytes"] / ours["peak_bytes"])
            ratio, share = f"{ratios[-1]:.1f}", f"{shares[-1]:.1f}"
        if one.get("duckdb_s"):
            duck_time = f"{one['duckdb_s']:.2f} s"
        rows.append([query, seconds(ours), f"{EVENTS / ours['work_s'] / 1e6:.2f}", seconds(flink),
                     ratio, benchlib.megabytes(ours["peak_bytes"]),
                     benchlib.megabytes(flink["peak_bytes"]) if flink else "", share,
                     seconds(ours, "empty_run_s"), seconds(flink, "empty_run_s"),
                     seconds(ours, "cpu_s"), seconds(flink, "cpu_s"), duck_time])
    if ratios:
        rows.append(["geometric mean", "", "", "", f"{mean(ratios):.1f}", "", "",
                     f"{mean(shares):.1f}", "", "", "", "", ""])
    benchlib.show(["query", "ours", "M events/s", "Flink", "times faster", "our memory",
                   "Flink's memory", "times less", "our empty run", "Flink's empty run",
                   "our processor time", "Flink's", "DuckDB, batch"], rows)


def left(text):
    """The table that a printed changelog leaves, as a multiset of rows."""
    rows = collections.Counter()
    for line in text.splitlines():
        found = ROW.match(line)
        if not found:
            sys.exit(f"no row of a changelog: {line}")
        rows[found[2]] += 1 if found[1] in ("+I", "+U") else -1
    return +rows, -rows


def check(queries):
    """Compares the tables that both leave; the number of queries that differ."""
    if not FLINK:
        sys.exit("--check compares with Flink: name it in TRADEWIND_FLINK")
    path = generate(CHECK_EVENTS, "--rate", str(CHECK_RATE))
    rows, wrong = [], 0
    for query in queries:
        text = script(query, path, select=True)
        found, owed = left(Run(ours(), text).out)
        expected, _ = left(Run([FLINK], CHECK_SETTINGS + text).out)
        missing, surplus = expected - found, found - expected
        same = not (missing or surplus or owed)
        wrong += not same
        rows.append([query, sum(expected.values()), "the same" if same else "DIFFERS"])
        for what, some in [("missing", missing), ("surplus", surplus), ("taken back", owed)]:
            for row in list(some)[:3]:
                print(f"  {query}: {sum(some.values())} rows {what}, one of them {row[:300]}")
    benchlib.show(["query", "rows", ""], rows)
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare tables, measure nothing")
    arguments.add_argument("--queries", nargs="+", choices=QUERIES, default=QUERIES)
    arguments.add_argument("--turns", type=int, default=2)
    arguments.add_argument("--without-flink", action="store_true")
    chosen = arguments.parse_args()
    benchlib.FOLDER.mkdir(parents=True, exist_ok=True)
    if chosen.check:
        sys.exit(1 if check(chosen.queries) else 0)

    with_flink = bool(FLINK) and not chosen.without_flink
    if not with_flink:
        print("  without Flink: name one in TRADEWIND_FLINK")
    path, nothing = generate(EVENTS), generate(0)
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    results = {}
    for query in chosen.queries:
        results[query] = measure(query, path, nothing, chosen.turns, with_flink)
    # Last, because a process begins with the peak of the one that started it: DuckDB would lend
    # its memory to every program after it.
    for query in chosen.queries:
        results[query]["duckdb_s"] = duck.seconds(query, path)
    table(results)
    print(f"  {EVENTS:,} events, {benchlib.megabytes(path.stat().st_size)}, {os.cpu_count()} cores;"
          " wanted: each at least 6 times faster, a fifth of the memory")
    benchlib.keep("nexmark", results)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the `expect` block of streaming cases (slt/stream/**/*.slt) from what a real Apache Flink answers.

    slt/record.py --oracle DIR/run [--set KEY=VALUE] [--all | --check] [CASE_OR_FOLDER ...]

Without options only cases that have neither `expect` nor `error` are recorded; `--all` records again,
`--check` writes nothing and reports each case whose recorded table differs from Flink's answer. Cases that say
`# by rule:` in a comment are left alone: there Flink is not the judge.

Many cases share one Flink process (its start takes seconds), each in a database of its own. A case that fails ends
that process; the case is noted as an `error`, and a new process goes on with the next one. Most of the time goes into
starting a small cluster for each query; with a Flink session cluster already running it is saved by
`--set execution.target=remote --set rest.address=localhost --set rest.port=8081`.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCKS = ("input", "script", "query", "late", "expect", "error")
ROW = re.compile(r"([+-][IUD])\[")
# Between two cases the oracle explains a query that holds this text: it prints a plan without running a job.
MARKER = "next case: "
PLAN = "+I[== Abstract Syntax Tree =="
# Every setting that a case may change, with the value each case starts from.
SETTINGS = {
    "parallelism.default": "1",
    "table.local-time-zone": "UTC",
    # Flink sends a watermark when it has moved by more than this (ms), right after the row that moved it: with 0
    # lateness is decided row by row, as in our engine, and does not depend on how fast the machine is.
    "pipeline.auto-watermark-interval": "0 ms",
    "table.exec.sink.not-null-enforcer": "ERROR",
}


class Case:
    """One .slt file: its comments and blocks, in order."""

    def __init__(self, path):
        self.path = path
        self.comments = []
        self.blocks = []  # [keyword, argument, [lines]]
        block = None
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if block is not None:
                if line == "----":
                    block = None
                else:
                    block[2].append(line)
            elif line.startswith("#"):
                self.comments.append(line)
            elif line.strip():
                keyword, _, argument = line.partition(" ")
                if keyword not in BLOCKS:
                    raise SystemExit(f"{path}:{number}: unknown block {keyword!r}, one of {', '.join(BLOCKS)}")
                block = [keyword, argument, []]
                self.blocks.append(block)
        if block is not None and block[2][-1:] == [""]:
            block[2].pop()  # the line feed at the end of a file whose last block is not closed

    def text(self, keyword):
        found = [lines for name, _, lines in self.blocks if name == keyword]
        return "\n".join(found[0]) if found else None

    def inputs(self):
        return [(argument, lines) for name, argument, lines in self.blocks if name == "input"]

    def answer(self):
        """The recorded answer: ("expect", rows) or ("error", reason) or None."""
        for name, _, lines in self.blocks:
            if name in ("expect", "error"):
                return name, lines
        return None

    def write(self, keyword, lines):
        kept = [block for block in self.blocks if block[0] not in ("expect", "error")]
        self.blocks = [*kept, [keyword, "", lines]]
        out = list(self.comments)
        for name, argument, body in self.blocks:
            out += [f"{name} {argument}".strip(), *body, "----"]
        self.path.write_text("\n".join(out) + "\n", encoding="utf-8")

    def statements(self, number, folder, extra):
        """The case as a script for the oracle, with `extra` settings."""
        settings = "".join(f"SET '{key}' = '{value}';\n" for key, value in (SETTINGS | extra).items())
        script = (self.text("script") or "").replace("{dir}", str(folder))
        return (
            f"{settings}CREATE DATABASE case_{number};\nUSE case_{number};\n"
            f"EXPLAIN SELECT '{MARKER}{number}';\n{script}\n{self.text('query')};\n"
        )


def answers(oracle, extra, cases):
    """Yields (case, "expect", rows) or (case, "error", reason) for each case, in order."""
    with tempfile.TemporaryDirectory(prefix="slt") as temp:
        temp = pathlib.Path(temp)
        scripts = []
        for number, case in enumerate(cases):
            folder = temp / str(number)
            folder.mkdir()
            for name, lines in case.inputs():
                (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            scripts.append(temp / f"{number}.sql")
            scripts[-1].write_text(case.statements(number, folder, extra), encoding="utf-8")
        first = 0
        while first < len(cases):
            done = subprocess.run([oracle, *scripts[first:]], capture_output=True, text=True, check=False)
            seen = split(done.stdout)
            if done.returncode and not seen:
                raise SystemExit(f"the oracle did not start:\n{done.stderr[-3000:]}")
            numbers = sorted(seen)
            for number in numbers:
                if done.returncode and number == numbers[-1]:
                    yield cases[number], "error", [reason(done.stderr)]
                else:
                    yield cases[number], "expect", table(cases[number], seen[number])
            first = numbers[-1] + 1


def split(output):
    """The changelog rows of each case, by its number."""
    seen = {}
    current = None
    for line in output.split("\n"):
        marker = re.match(r"LogicalProject\(.*'" + MARKER + r"(\d+)'", line)
        if marker:
            current = seen.setdefault(int(marker[1]), [])
        elif line == PLAN:
            current = None  # what follows, up to the marker in it, is not an answer
        elif ROW.match(line) and current is not None:
            current.append(line)
        elif line.strip() and current:
            current[-1] += "\n" + line
    return seen


def table(case, changes):
    """The rows left when the changes have been applied, sorted by their UTF-8 bytes."""
    rows = collections.Counter()
    for change in changes:
        kind, text = change[:2], change[2:]
        rows[text] += 1 if kind in ("+I", "+U") else -1
        if "\n" in text:
            raise SystemExit(f"{case.path}: a value holds a line feed, which a case cannot write down")
    if any(count < 0 for count in rows.values()):
        raise SystemExit(f"{case.path}: Flink took back a row that it had not given: {-rows}")
    return sorted(rows.elements(), key=lambda row: row.encode())


def reason(stderr):
    """The innermost cause in a Java stack trace."""
    causes = re.findall(r"^(?:Caused by: |Exception in thread \"main\" )([\w.$]+)(?:: (.*))?", stderr, re.MULTILINE)
    kind, message = causes[-1] if causes else ("unknown", stderr[-200:])
    return f"{kind.rpartition('.')[2]}: {message}".strip()[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True, help="the oracle's `run`")
    parser.add_argument("--all", action="store_true", help="record again what is recorded")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of Flink")
    parser.add_argument("paths", nargs="*", type=pathlib.Path, default=[pathlib.Path(__file__).parent / "stream"])
    options = parser.parse_args()
    extra = dict(setting.split("=", 1) for setting in options.set)
    files = [file for path in options.paths for file in (sorted(path.rglob("*.slt")) if path.is_dir() else [path])]
    cases = [case for case in map(Case, files) if not any(c.startswith("# by rule:") for c in case.comments)]
    if not (options.all or options.check):
        cases = [case for case in cases if case.answer() is None]
    wrong = 0
    for case, keyword, lines in answers(options.oracle, extra, cases):
        if options.check:
            recorded = case.answer()
            if recorded is None or recorded[0] != keyword or (keyword == "expect" and recorded[1] != lines):
                wrong += 1
                print(f"{case.path}: recorded {recorded}, Flink answers {keyword} {lines}")
        else:
            case.write(keyword, lines)
            shown = f"{len(lines)} rows" if keyword == "expect" else f"error: {lines[0]}"
            print(f"{case.path}: {shown}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

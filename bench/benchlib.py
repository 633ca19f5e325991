"""What the benches share: where things are, how big to be, how results are kept and shown.

Guarantees: every result is kept with the machine and the commit it was measured on.
Left out: judging. A bench prints figures; it does not pass or fail by them.
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[1]
BINARY = os.environ.get("TRADEWIND_BIN", str(PROJECT / "target" / "release" / "tradewind"))
FOLDER = pathlib.Path(os.environ.get("TRADEWIND_BENCH_DIR", PROJECT / "target" / "bench"))
LOADGEN = os.environ.get("TRADEWIND_LOADGEN", str(FOLDER / "loadgen" / "release" / "loadgen"))
SCALE = float(os.environ.get("TRADEWIND_BENCH_SCALE", "1"))


def machine():
    """What it ran on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"commit": commit, "cores": os.cpu_count(), "memory_bytes": memory,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}"}


def keep(bench, results):
    """Adds one bench's results to `results.jsonl`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    line = {"bench": bench, "at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "scale": SCALE, "machine": machine(), "results": results}
    with (FOLDER / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def show(headers, rows):
    """Prints a table, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    for place, row in enumerate(texts):
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells))
        if place == 0:
            print("  " + "  ".join("-" * width for width in widths))
    sys.stdout.flush()


def megabytes(count):
    """Bytes as megabytes for people."""
    return f"{count / 1e6:,.0f} MB"


def load(server, seconds, rate=None, probe=False, connections=16, batch=100):
    """Runs the load generator against a server; its figures as a dict."""
    command = [LOADGEN, "--address", f"127.0.0.1:{server.http_port}", "--seconds", str(seconds),
               "--connections", str(connections), "--batch", str(batch)]
    if rate is not None:
        command += ["--rate", str(rate)]
    if probe:
        command += ["--probe-key", "probe"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        sys.exit(f"the load generator failed with {done.returncode}")
    return json.loads(done.stdout)

"""The tracking API: durable events a second flat out, and freshness at fixed rates.

Every 200 means fsynced. Freshness is the time from a marker event's 200 to the answer of the SQL
query that first shows it, the query included; a marker is on its way about every 20 ms beside the
load. The rate is checked: a paced run that fell behind its rate says so.
"""

import benchlib
import server

SECONDS = max(5, int(30 * benchlib.SCALE))
RATES = [1_000, 20_000]


def main():
    results = {}
    with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as running:
        benchlib.load(running, 3)
        rows = []
        for connections in [4, 16, 64]:
            flat = benchlib.load(running, SECONDS, connections=connections)
            results[f"flat_out_{connections}_connections"] = flat
            rows.append([connections, f"{flat['events_per_second']:,}",
                         f"{flat['request_p50_ms']:.1f} ms", f"{flat['request_p99_ms']:.1f} ms",
                         flat["busy_answers"], flat["failures"]])
        benchlib.show(["connections", "events/s, batches of 100", "request p50", "p99",
                       "429/503", "failures"], rows)
    rows = []
    for rate in RATES:
        # A server of its own: what the other run left to compact is not this run's delay.
        with server.running(benchlib.BINARY, folder=benchlib.FOLDER) as running:
            benchlib.load(running, 3, rate=rate)
            paced = benchlib.load(running, SECONDS * 2, rate=rate, probe=True)
            results[f"paced_{rate}"] = paced
            behind = "" if paced["events_per_second"] > rate * 0.98 else "FELL BEHIND"
            rows.append([f"{rate:,}/s", f"{paced['events_per_second']:,}", paced["markers"],
                         f"{paced['fresh_p50_ms']:.1f} ms", f"{paced['fresh_p99_ms']:.1f} ms",
                         f"{paced['fresh_max_ms']:.1f} ms", f"{paced['poll_p50_ms']:.1f} ms",
                         f"{paced['request_p99_ms']:.1f} ms", behind])
    print()
    benchlib.show(["wanted", "events/s", "markers", "200 to visible p50", "p99", "max",
                   "of it the query", "request p99", ""], rows)
    benchlib.keep("http_ingest", results)


if __name__ == "__main__":
    main()

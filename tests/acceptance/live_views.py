"""Views that follow a replay, sampled while it runs: each sample says up to which records of the
log it is the answer, and must be DuckDB's answer on just those lines of the file.

Guarantees: a sample is one tick's view, whole; lines are matched to records by the id that the
replay gives them (file and line), never by their order of arrival.
Left out: views over windows, whose answer hangs on watermarks too.
"""

import json
import threading
import urllib.request

import common

# Seconds between two samples of the same view.
SAMPLE_EVERY = 1.0
# Samples of a view that are compared, spread evenly over the replay; the last one always is.
COMPARED_MAX = 12

LINES = """(
    SELECT o.properties.order_id AS order_id, o.event, o.event_time, o.user_id,
        o.properties.country AS country, line.product_id, line.price, line.quantity,
        CAST(line.price * line.quantity AS DECIMAL(18, 6)) AS amount
    FROM order_events_stream AS o CROSS JOIN UNNEST(o.properties.products)
        AS line (product_id, sku, name, category, brand, variant, coupon, price, quantity))"""

# name: (the view's query in the flink dialect over {lines}, the same of DuckDB over `lines`).
VIEWS = {
    "retail_days": ("""
        SELECT CAST(event_time AS DATE) AS sold_day, COUNT(*) AS line_count,
            COUNT(DISTINCT order_id) AS invoices, SUM(quantity) AS units, SUM(amount) AS revenue,
            MIN(price) AS cheapest, MAX(price) AS dearest
        FROM {lines} AS lines GROUP BY CAST(event_time AS DATE)""", """
        SELECT event_date, count(*), count(DISTINCT order_id), sum(quantity),
            sum(quantity * price), min(price), max(price)
        FROM lines GROUP BY event_date"""),
    "retail_countries": ("""
        SELECT country, COUNT(DISTINCT user_id) AS customers,
            SUM(amount) FILTER (WHERE event = 'Order Completed') AS sold,
            SUM(amount) FILTER (WHERE event = 'Order Refunded') AS taken_back
        FROM {lines} AS lines GROUP BY country""", """
        SELECT country, count(DISTINCT user_id),
            sum(quantity * price) FILTER (WHERE line_kind = 'sale'),
            sum(quantity * price) FILTER (WHERE line_kind = 'refund')
        FROM lines GROUP BY country"""),
    # Each line of an invoice changes its total: rows of the join come and go.
    "retail_large_invoices": ("""
        SELECT l.product_id, COUNT(*) AS line_count, SUM(l.amount) AS amount
        FROM {lines} AS l
        JOIN (SELECT order_id, SUM(amount) AS total FROM {lines} AS lines GROUP BY order_id) AS o
            ON l.order_id = o.order_id
        WHERE o.total >= 1000 GROUP BY l.product_id""", """
        SELECT product_id, count(*), sum(quantity * price)
        FROM lines JOIN (SELECT order_id FROM lines GROUP BY order_id
            HAVING sum(quantity * price) >= 1000) AS large USING (order_id)
        GROUP BY product_id"""),
    "retail_invoice_sizes": ("""
        SELECT line_count, COUNT(*) AS invoices, MAX(total) AS largest
        FROM (SELECT order_id, COUNT(*) AS line_count, SUM(amount) AS total
            FROM {lines} AS lines GROUP BY order_id) AS o
        GROUP BY line_count""", """
        SELECT line_count, count(*), max(total)
        FROM (SELECT order_id, count(*) AS line_count, sum(quantity * price) AS total
            FROM lines GROUP BY order_id) AS o
        GROUP BY line_count"""),
}


def snapshot(url, view, timeout=120):
    """The view as it is now: its rows, and the next record of each partition of `events`."""
    rows, data, whole = [], "", False
    with urllib.request.urlopen(f"{url}/api/subscribe?view={view}", timeout=timeout) as events:
        for line in events:
            name, _, text = line.decode().rstrip("\n").partition(": ")
            # The last piece has an id; a piece is several lines of data and ends with an empty one.
            whole = whole or name == "id"
            if name == "data":
                data += text
            elif not name and data:
                piece, data = json.loads(data), ""
                rows += piece["rows"]
                if whole:
                    return rows, piece["positions"]["events"]
    raise SystemExit(f"the subscription of {view} ended within its snapshot")


class Samples:
    """Makes the views, and samples them from another thread until told to stop."""

    def __init__(self, url):
        self.url = url
        self.samples = {view: [] for view in VIEWS}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        for view, (query, _) in VIEWS.items():
            query = query.format(lines=LINES)
            common.sql(url, f"CREATE MATERIALIZED VIEW {view} AS {query}", dialect="flink")

    def run(self):
        """Until stopped; a failure shows as too few samples."""
        while not self.stopped.wait(SAMPLE_EVERY):
            for view, taken in self.samples.items():
                taken.append(snapshot(self.url, view))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(120)

    def compare(self, report, duck, records):
        """Every chosen sample against DuckDB on the prefix it names, and the last against all.

        `duck` has the tables `file_lines` with the column `line`, and `delta_lines`, which says
        where in the log each line is; `records` is the log's length.
        """
        duck.execute("""
            CREATE OR REPLACE TEMP TABLE records AS
            SELECT _partition AS at_partition, _offset AS at_offset,
                CAST(regexp_extract(message_id, ':([0-9]+)$', 1) AS BIGINT) AS line
            FROM delta_lines""")
        whole = 0
        for view, (_, query) in VIEWS.items():
            taken = self.samples[view] + [last_sample(self.url, view, records)]
            step = max(1, len(taken) // COMPARED_MAX)
            chosen = [*taken[:-1:step], taken[-1]]
            prefixes = [self.compare_one(report, duck, view, query, *sample) for sample in chosen]
            whole = prefixes[-1]
            between = len({prefix for prefix in prefixes if 0 < prefix < whole})
            report.figure(view, "sampled in the middle", True, between >= 3)
        report.figure("live views", "lines at the end", records, whole)

    @staticmethod
    def compare_one(report, duck, view, query, rows, positions):
        """Returns how many lines the sample has seen."""
        reached = [(int(partition), position) for partition, position in positions.items()]
        duck.execute("CREATE OR REPLACE TEMP TABLE reached (at_partition INTEGER, position BIGINT)")
        duck.executemany("INSERT INTO reached VALUES (?, ?)", reached)
        duck.execute("""
            CREATE OR REPLACE TEMP TABLE lines AS
            SELECT file_lines.* FROM file_lines JOIN records USING (line)
            JOIN reached ON records.at_partition = reached.at_partition AND at_offset < position""")
        seen = duck.execute("SELECT count(*) FROM lines").fetchall()[0][0]
        keyed = lambda rows: [(row[0], " ".join(common.plain(common.exact(value))
                                                for value in row[1:])) for row in rows]
        report.table(view, f"after {seen} lines", keyed(duck.execute(query).fetchall()), keyed(rows))
        return seen


def last_sample(url, view, records, timeout=300):
    """The view once it has reached every record."""
    for _ in range(timeout):
        rows, positions = snapshot(url, view)
        if sum(positions.values()) >= records:
            return rows, positions
        threading.Event().wait(1)
    raise SystemExit(f"{view} has not reached {records} records after {timeout} s")

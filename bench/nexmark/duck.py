"""The same questions to DuckDB, as batch queries over the same file: for orientation.

Guarantees: the same columns and the same rows as the streaming query leaves; the answer is counted
and summed in DuckDB, not brought to Python. Reading the file is in the time.
Left out: q5 and q7 are asked of whole windows, as a batch query would.
"""

import time

COLUMNS = """columns = {
    event_type: 'INTEGER',
    person: 'STRUCT(id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR,
             city VARCHAR, state VARCHAR, dateTime TIMESTAMP, extra VARCHAR)',
    auction: 'STRUCT(id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT,
              reserve BIGINT, dateTime TIMESTAMP, expires TIMESTAMP, seller BIGINT,
              category BIGINT, extra VARCHAR)',
    bid: 'STRUCT(auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
          dateTime TIMESTAMP, extra VARCHAR)'}"""

# Views over the file, with each query's own columns: what is not asked for is not parsed.
VIEWS = """
CREATE VIEW events AS SELECT * FROM read_json('{path}', format = 'newline_delimited', {columns});
CREATE VIEW person AS SELECT unnest(person) FROM events WHERE event_type = 0;
CREATE VIEW auction AS SELECT unnest(auction) FROM events WHERE event_type = 1;
CREATE VIEW bid AS SELECT unnest(bid) FROM events WHERE event_type = 2;
"""

WINDOWS = """
WITH hops AS (
  SELECT auction, time_bucket(INTERVAL 2 SECOND, dateTime) - h * INTERVAL 2 SECOND AS opened
  FROM bid, range(5) AS hop(h)),
counted AS (SELECT auction, opened, count(*) AS bids FROM hops GROUP BY ALL)
"""

QUERIES = {
    "q0": "SELECT auction, bidder, price, dateTime, extra FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
             WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    "q5": WINDOWS + """SELECT auction, bids FROM counted
             QUALIFY bids = max(bids) OVER (PARTITION BY opened)""",
    "q7": """SELECT auction, price, bidder, dateTime, extra FROM bid
             QUALIFY price = max(price) OVER
               (PARTITION BY time_bucket(INTERVAL 10 SECOND, dateTime))""",
    "q8": """SELECT DISTINCT p.id, p.name, time_bucket(INTERVAL 10 SECOND, p.dateTime) AS opened
             FROM person p JOIN auction a ON p.id = a.seller
              AND time_bucket(INTERVAL 10 SECOND, p.dateTime)
                = time_bucket(INTERVAL 10 SECOND, a.dateTime)""",
    "q17": """SELECT auction, strftime(dateTime, '%Y-%m-%d') AS day, count(*) AS bids,
                count(*) FILTER (price < 10000) AS low_bids,
                count(*) FILTER (price >= 10000 AND price < 1000000) AS middle_bids,
                count(*) FILTER (price >= 1000000) AS high_bids,
                min(price), max(price), avg(price), sum(price)
              FROM bid GROUP BY ALL""",
    "q20": """SELECT b.*, a.* FROM bid b JOIN auction a ON b.auction = a.id
              WHERE a.category = 10""",
}


def seconds(query, path):
    """Seconds of the batch query, connecting not in it; None where there is no DuckDB."""
    try:
        import duckdb
    except ImportError:
        return None
    connection = duckdb.connect()
    connection.execute(VIEWS.format(path=path, columns=COLUMNS))
    started = time.monotonic()
    connection.execute(f"CREATE TEMP TABLE answer AS {QUERIES[query]}")
    return time.monotonic() - started

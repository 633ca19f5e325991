-- The auctions with the most bids in the last ten seconds, every two seconds.
CREATE TABLE hot_auctions (
  auction BIGINT,
  bids BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO hot_auctions
SELECT counted.auction, counted.bids
FROM (
  SELECT auction, COUNT(*) AS bids, window_start AS opened, window_end AS closed
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS counted
JOIN (
  SELECT MAX(each_one.bids) AS most, each_one.opened, each_one.closed
  FROM (
    SELECT COUNT(*) AS bids, window_start AS opened, window_end AS closed
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
  ) AS each_one
  GROUP BY each_one.opened, each_one.closed
) AS best
ON counted.opened = best.opened AND counted.closed = best.closed AND counted.bids >= best.most;

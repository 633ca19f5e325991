-- The highest bids of every ten seconds: bids joined with the maximum of their window.
CREATE TABLE highest_bids (
  auction BIGINT,
  price BIGINT,
  bidder BIGINT,
  `dateTime` TIMESTAMP(3),
  extra STRING
) WITH ('connector' = 'blackhole');

INSERT INTO highest_bids
SELECT b.auction, b.price, b.bidder, b.`dateTime`, b.extra
FROM bid AS b
JOIN (
  SELECT MAX(price) AS highest, window_end AS closed
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end
) AS best
ON b.price = best.highest
WHERE b.`dateTime` BETWEEN best.closed - INTERVAL '10' SECOND AND best.closed;

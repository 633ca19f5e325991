-- What each auction's bids came to on each day.
CREATE TABLE auction_days (
  auction BIGINT,
  `day` STRING,
  bids BIGINT,
  low_bids BIGINT,
  middle_bids BIGINT,
  high_bids BIGINT,
  lowest BIGINT,
  highest BIGINT,
  average BIGINT,
  total BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO auction_days
SELECT
  auction,
  DATE_FORMAT(`dateTime`, 'yyyy-MM-dd') AS `day`,
  COUNT(*) AS bids,
  COUNT(*) FILTER (WHERE price < 10000) AS low_bids,
  COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle_bids,
  COUNT(*) FILTER (WHERE price >= 1000000) AS high_bids,
  MIN(price) AS lowest,
  MAX(price) AS highest,
  AVG(price) AS average,
  SUM(price) AS total
FROM bid
GROUP BY auction, DATE_FORMAT(`dateTime`, 'yyyy-MM-dd');

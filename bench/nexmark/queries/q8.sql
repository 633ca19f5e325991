-- People who opened an auction in the ten seconds in which they signed up.
CREATE TABLE new_sellers (
  id BIGINT,
  name STRING,
  opened TIMESTAMP(3)
) WITH ('connector' = 'blackhole');

INSERT INTO new_sellers
SELECT p.id, p.name, p.opened
FROM (
  SELECT id, name, window_start AS opened, window_end AS closed
  FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
  GROUP BY id, name, window_start, window_end
) AS p
JOIN (
  SELECT seller, window_start AS opened, window_end AS closed
  FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
  GROUP BY seller, window_start, window_end
) AS a
ON p.id = a.seller AND p.opened = a.opened AND p.closed = a.closed;

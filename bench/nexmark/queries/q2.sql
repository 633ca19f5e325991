-- Bids on a few of the auctions.
CREATE TABLE chosen (
  auction BIGINT,
  price BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO chosen
SELECT auction, price
FROM bid
WHERE MOD(auction, 123) = 0;

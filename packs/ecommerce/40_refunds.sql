-- Pack ecommerce, version 1. Dialect: flink.
--
-- `refunds`: one row for each "Order Refunded" event, as the shop stated it.
--
-- total is positive: what went back to the shopper, NULL where the shop did not say (then the
-- lines are in `order_lines`). It is not capped at the order's own total: a shop may refund more
-- than it took, and a report that must not should join `orders`.
-- event_date is the date of event_time in UTC: the day of the refund, not of the order.

CREATE TABLE IF NOT EXISTS refunds (
    store_id     STRING,
    event_date   DATE,
    event_time   TIMESTAMP_LTZ(6),
    received_at  TIMESTAMP_LTZ(6),
    message_id   STRING,
    order_id     STRING,
    visitor_id   STRING,
    user_id      STRING,
    country      STRING,
    currency     STRING,
    total        DECIMAL(18, 6)
) PARTITIONED BY (store_id, event_date) WITH ('connector' = 'delta');

INSERT INTO refunds
SELECT
    store_id,
    CAST(event_time AS DATE) AS event_date,
    event_time,
    received_at,
    message_id,
    properties.order_id AS order_id,
    visitor_id,
    user_id,
    COALESCE(properties.country, context.location.country) AS country,
    properties.currency AS currency,
    properties.total AS total
FROM order_events_stream
WHERE event = 'Order Refunded';

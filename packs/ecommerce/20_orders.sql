-- Pack ecommerce, version 1. Dialect: flink.
--
-- `orders`: one row for each "Order Completed" event, amounts as the shop stated them.
--
-- Nothing about money is made up: an amount or a currency that was not sent is NULL, and amounts
-- in different currencies must not be added (GROUP BY currency). `revenue` excludes shipping and
-- tax. A shop that sends one order in several events has several rows with the same order_id:
-- count orders with COUNT(DISTINCT order_id).
-- event_date is the date of event_time in UTC. user_id is the customer where the shop knows one.

CREATE TABLE IF NOT EXISTS orders (
    store_id     STRING,
    event_date   DATE,
    event_time   TIMESTAMP_LTZ(6),
    received_at  TIMESTAMP_LTZ(6),
    message_id   STRING,
    order_id     STRING,
    checkout_id  STRING,
    visitor_id   STRING,
    user_id      STRING,
    affiliation  STRING,
    country      STRING,
    currency     STRING,
    subtotal     DECIMAL(18, 6),
    total        DECIMAL(18, 6),
    revenue      DECIMAL(18, 6),
    shipping     DECIMAL(18, 6),
    tax          DECIMAL(18, 6),
    discount     DECIMAL(18, 6),
    coupon       STRING
) PARTITIONED BY (store_id, event_date) WITH ('connector' = 'delta');

INSERT INTO orders
SELECT
    store_id,
    CAST(event_time AS DATE) AS event_date,
    event_time,
    received_at,
    message_id,
    properties.order_id AS order_id,
    properties.checkout_id AS checkout_id,
    visitor_id,
    user_id,
    properties.affiliation AS affiliation,
    COALESCE(properties.country, context.location.country) AS country,
    properties.currency AS currency,
    properties.subtotal AS subtotal,
    properties.total AS total,
    properties.revenue AS revenue,
    properties.shipping AS shipping,
    properties.tax AS tax,
    properties.discount AS discount,
    properties.coupon AS coupon
FROM order_events_stream
WHERE event = 'Order Completed';

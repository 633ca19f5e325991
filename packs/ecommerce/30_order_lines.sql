-- Pack ecommerce, version 1. Dialect: flink.
--
-- `order_lines`: one row for each product of an order or a refund.
--
-- line_kind 'sale' comes from "Order Completed", 'refund' from "Order Refunded". A refund's
-- quantity is negative here whichever sign the shop sent, so that SUM(line_amount) over both kinds
-- is what was sold less what was taken back. A sale's quantity keeps its sign.
-- quantity is DECIMAL because shops also sell by weight and length. line_amount is price times
-- quantity, rounded half up at six digits; it is NULL where either was not sent.
-- currency is the order's, NULL where it was not sent; do not add amounts across currencies.
-- A refund without products has no row here: it is in `refunds` with its total.
-- event_date is the date of event_time in UTC.

CREATE TABLE IF NOT EXISTS order_lines (
    store_id     STRING,
    event_date   DATE,
    event_time   TIMESTAMP_LTZ(6),
    received_at  TIMESTAMP_LTZ(6),
    message_id   STRING,
    order_id     STRING,
    line_kind    STRING,
    visitor_id   STRING,
    user_id      STRING,
    country      STRING,
    currency     STRING,
    product_id   STRING,
    sku          STRING,
    name         STRING,
    category     STRING,
    brand        STRING,
    variant      STRING,
    coupon       STRING,
    price        DECIMAL(18, 6),
    quantity     DECIMAL(18, 6),
    line_amount  DECIMAL(18, 6)
) PARTITIONED BY (store_id, event_date) WITH ('connector' = 'delta');

INSERT INTO order_lines
SELECT
    o.store_id,
    CAST(o.event_time AS DATE) AS event_date,
    o.event_time,
    o.received_at,
    o.message_id,
    o.properties.order_id AS order_id,
    CASE WHEN o.event = 'Order Completed' THEN 'sale' ELSE 'refund' END AS line_kind,
    o.visitor_id,
    o.user_id,
    COALESCE(o.properties.country, o.context.location.country) AS country,
    o.properties.currency AS currency,
    line.product_id,
    line.sku,
    line.name,
    line.category,
    line.brand,
    line.variant,
    line.coupon,
    line.price,
    CASE
        WHEN o.event = 'Order Refunded' AND line.quantity > 0 THEN -line.quantity
        ELSE line.quantity
    END AS quantity,
    CAST(
        line.price * CASE
            WHEN o.event = 'Order Refunded' AND line.quantity > 0 THEN -line.quantity
            ELSE line.quantity
        END AS DECIMAL(18, 6)
    ) AS line_amount
FROM order_events_stream AS o
CROSS JOIN UNNEST(o.properties.products)
    AS line (product_id, sku, name, category, brand, variant, coupon, price, quantity)
WHERE o.event IN ('Order Completed', 'Order Refunded');

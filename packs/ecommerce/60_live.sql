-- Pack ecommerce, version 1. Dialect: flink.
--
-- The store as it is now: views that follow the stream, read in SQL or by subscription.
--
-- Amounts are added up within one currency only; an order without a currency stands under NULL.
-- gross is what was ordered, refunded what went back, net the difference: a refund lowers net at
-- its own time and leaves gross as it was. An event that comes late or out of order counts in its
-- own minute and day all the same: these views are never final. Days and minutes are UTC.

-- What moves money, one row for each order and each refund.
CREATE VIEW IF NOT EXISTS money_moves AS
SELECT
    store_id,
    properties.currency AS currency,
    event_time,
    CASE WHEN event = 'Order Completed' THEN properties.order_id END AS order_id,
    CASE WHEN event = 'Order Completed' THEN properties.total END AS gross,
    CASE WHEN event = 'Order Refunded' THEN properties.total END AS refunded
FROM order_events_stream
WHERE event IN ('Order Completed', 'Order Refunded');

-- Sales minute by minute.
CREATE MATERIALIZED VIEW IF NOT EXISTS sales_per_minute AS
SELECT
    store_id,
    currency,
    FLOOR(event_time TO MINUTE) AS sold_minute,
    COUNT(DISTINCT order_id) AS orders,
    COALESCE(SUM(gross), 0) AS gross,
    COALESCE(SUM(refunded), 0) AS refunded,
    COALESCE(SUM(gross), 0) - COALESCE(SUM(refunded), 0) AS net
FROM money_moves
GROUP BY store_id, currency, FLOOR(event_time TO MINUTE);

-- Sales day by day; today is the row of CURRENT_DATE. An order sent in several events is one order.
CREATE MATERIALIZED VIEW IF NOT EXISTS sales_per_day AS
SELECT
    store_id,
    currency,
    CAST(event_time AS DATE) AS sold_day,
    COUNT(DISTINCT order_id) AS orders,
    COUNT(refunded) AS refunds,
    COALESCE(SUM(gross), 0) AS gross,
    COALESCE(SUM(refunded), 0) AS refunded,
    COALESCE(SUM(gross), 0) - COALESCE(SUM(refunded), 0) AS net,
    CASE
        WHEN COUNT(DISTINCT order_id) > 0 THEN SUM(gross) / COUNT(DISTINCT order_id)
    END AS average_order_value
FROM money_moves
GROUP BY store_id, currency, CAST(event_time AS DATE);

-- Units and amounts by product, refunds taken off.
CREATE MATERIALIZED VIEW IF NOT EXISTS product_sales AS
SELECT
    o.store_id,
    o.properties.currency AS currency,
    COALESCE(line.product_id, line.sku) AS product_id,
    MAX(line.name) AS name,
    SUM(CASE WHEN o.event = 'Order Completed' THEN line.quantity END) AS units_sold,
    SUM(CASE WHEN o.event = 'Order Refunded' THEN ABS(line.quantity) END) AS units_refunded,
    SUM(CASE WHEN o.event = 'Order Completed' THEN CAST(line.price * line.quantity AS DECIMAL(18, 6)) END)
        AS gross,
    SUM(CASE WHEN o.event = 'Order Refunded' THEN CAST(line.price * ABS(line.quantity) AS DECIMAL(18, 6)) END)
        AS refunded
FROM order_events_stream AS o
CROSS JOIN UNNEST(o.properties.products)
    AS line (product_id, sku, name, category, brand, variant, coupon, price, quantity)
WHERE o.event IN ('Order Completed', 'Order Refunded')
GROUP BY o.store_id, o.properties.currency, COALESCE(line.product_id, line.sku);

-- How many visitors took each step of the way to an order, day by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS funnel_per_day AS
SELECT
    store_id,
    CAST(event_time AS DATE) AS seen_day,
    COUNT(DISTINCT visitor_id) AS visitors,
    COUNT(DISTINCT visitor_id) FILTER (WHERE event = 'Product Viewed') AS viewed_product,
    COUNT(DISTINCT visitor_id) FILTER (WHERE event = 'Product Added') AS added_to_cart,
    COUNT(DISTINCT visitor_id) FILTER (WHERE event = 'Checkout Started') AS started_checkout,
    COUNT(DISTINCT visitor_id) FILTER (WHERE event = 'Order Completed') AS ordered
FROM events_stream
GROUP BY store_id, CAST(event_time AS DATE);

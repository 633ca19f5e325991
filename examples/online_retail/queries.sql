-- What the replayed shop sold. A cancellation's lines have line_kind 'refund' and a negative
-- quantity, so these sums are net of cancellations.

-- Lines, units, money, invoices, cancellations.
SELECT
    count(*)                                                         AS line_count,
    sum(quantity)                                                    AS units,
    sum(quantity * price)                                            AS revenue,
    count(DISTINCT order_id)                                         AS invoices,
    count(DISTINCT CASE WHEN line_kind = 'refund' THEN order_id END) AS cancellations
FROM order_lines;

-- Revenue by country: the ten largest.
SELECT country, currency, sum(line_amount) AS revenue, count(DISTINCT order_id) AS invoices
FROM order_lines
GROUP BY country, currency
ORDER BY revenue DESC
LIMIT 10;

-- Revenue by month, in UTC.
SELECT date_trunc('month', event_time) AS month, currency, sum(line_amount) AS revenue
FROM order_lines
GROUP BY 1, 2
ORDER BY 1;

-- The ten products that earned most.
SELECT product_id, min(name) AS name, sum(quantity) AS units, sum(line_amount) AS revenue
FROM order_lines
GROUP BY product_id
ORDER BY revenue DESC
LIMIT 10;

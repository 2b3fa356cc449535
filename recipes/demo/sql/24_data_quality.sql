-- dialect: spark
-- Checks on a delivery before it is published: each returns one row with a name and a count, and the
-- delivery passes when all counts are zero. One query, one scan per table.

CREATE OR REPLACE TEMPORARY VIEW delivery AS
SELECT * FROM staging.orders WHERE delivered_on = DATE '2024-06-03';

SELECT 'empty delivery' AS failed_check, CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END AS rows_found
FROM delivery

UNION ALL

SELECT 'duplicate order number', COALESCE(SUM(copies - 1), 0)
FROM (SELECT COUNT(*) AS copies FROM delivery GROUP BY order_no HAVING COUNT(*) > 1) AS repeated

UNION ALL

SELECT 'missing customer', COUNT(*)
FROM delivery AS d
LEFT ANTI JOIN master.customer AS c ON c.customer_id = d.customer_id

UNION ALL

SELECT 'negative or absurd amount', COUNT(*)
FROM delivery
WHERE amount < 0 OR amount > 1000000 OR amount IS NULL

UNION ALL

SELECT 'date in the future', COUNT(*)
FROM delivery
WHERE ordered_at > CURRENT_TIMESTAMP()

UNION ALL

SELECT 'malformed e-mail', COUNT(*)
FROM delivery
WHERE email IS NOT NULL AND NOT email RLIKE '^[^@ ]+@[^@ ]+[.][^@ ]+$'

UNION ALL

SELECT 'lines do not add up to the order', COUNT(*)
FROM delivery AS d
JOIN (
    SELECT order_no, SUM(quantity * unit_price) AS total
    FROM staging.order_line
    GROUP BY order_no
) AS l ON l.order_no = d.order_no
WHERE ABS(d.amount - l.total) > 0.005;

-- A delivery can pass every check and still be wrong. Compare its size with the same weekday of the
-- eight weeks before: beyond three standard deviations somebody should look.
WITH daily AS (
    SELECT delivered_on, COUNT(*) AS orders
    FROM staging.orders
    WHERE delivered_on >= DATE_SUB(DATE '2024-06-03', 56)
      AND DAYOFWEEK(delivered_on) = DAYOFWEEK(DATE '2024-06-03')
    GROUP BY delivered_on
),
usual AS (
    SELECT AVG(orders) AS mean, STDDEV_SAMP(orders) AS deviation
    FROM daily
    WHERE delivered_on < DATE '2024-06-03'
)
SELECT d.orders, u.mean, (d.orders - u.mean) / u.deviation AS z_score
FROM daily AS d
CROSS JOIN usual AS u
WHERE d.delivered_on = DATE '2024-06-03';

-- Share of nulls by column, to be compared with last week's: sudden nulls mean a renamed field.
SELECT
    COUNT(*) AS orders,
    AVG(CASE WHEN email IS NULL THEN 1.0 ELSE 0.0 END) AS email_null,
    AVG(CASE WHEN coupon IS NULL THEN 1.0 ELSE 0.0 END) AS coupon_null,
    APPROX_COUNT_DISTINCT(customer_id) AS customers
FROM delivery;

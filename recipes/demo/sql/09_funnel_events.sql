-- dialect: bigquery
-- A funnel over an event stream: view, cart, checkout, purchase, in that order and within a day.
--
-- Counting users by event overstates the funnel, since it also counts those who purchase without a
-- view in the period. The steps must follow each other for the same user.

CREATE TABLE IF NOT EXISTS shop.event (
    event_id STRING NOT NULL,
    user_id STRING NOT NULL,
    name STRING NOT NULL,
    at TIMESTAMP NOT NULL,
    properties JSON
)
PARTITION BY DATE(at)
CLUSTER BY user_id, name;

WITH viewed AS (
    SELECT user_id, MIN(at) AS viewed_at
    FROM shop.event
    WHERE name = 'view_item' AND DATE(at) BETWEEN '2024-05-01' AND '2024-05-31'
    GROUP BY user_id
),
carted AS (
    SELECT v.user_id, v.viewed_at, MIN(e.at) AS carted_at
    FROM viewed AS v
    LEFT JOIN shop.event AS e
        ON e.user_id = v.user_id
        AND e.name = 'add_to_cart'
        AND e.at BETWEEN v.viewed_at AND TIMESTAMP_ADD(v.viewed_at, INTERVAL 24 HOUR)
    GROUP BY v.user_id, v.viewed_at
),
paid AS (
    SELECT c.user_id, c.viewed_at, c.carted_at, MIN(e.at) AS paid_at
    FROM carted AS c
    LEFT JOIN shop.event AS e
        ON e.user_id = c.user_id
        AND e.name = 'purchase'
        AND e.at BETWEEN c.carted_at AND TIMESTAMP_ADD(c.viewed_at, INTERVAL 24 HOUR)
    GROUP BY c.user_id, c.viewed_at, c.carted_at
)
SELECT
    COUNT(*) AS viewed,
    COUNT(carted_at) AS carted,      -- COUNT of a column skips nulls: those who dropped out
    COUNT(paid_at) AS paid,
    SAFE_DIVIDE(COUNT(carted_at), COUNT(*)) AS view_to_cart,
    SAFE_DIVIDE(COUNT(paid_at), COUNT(carted_at)) AS cart_to_paid,
    APPROX_QUANTILES(TIMESTAMP_DIFF(paid_at, viewed_at, MINUTE), 100)[OFFSET(50)] AS median_minutes
FROM paid;

-- Duplicated events are a fact of life where clients retry. Keep the first of each event_id.
CREATE OR REPLACE VIEW shop.event_once AS
SELECT event_id, user_id, name, at, properties
FROM shop.event
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY at) = 1;

-- Which items are put into carts and left there? Nested JSON is read with path expressions.
SELECT
    JSON_VALUE(properties, '$.item.sku') AS sku,
    COUNT(DISTINCT user_id) AS users
FROM shop.event_once
WHERE name = 'add_to_cart'
  AND user_id NOT IN (SELECT user_id FROM shop.event_once WHERE name = 'purchase')
GROUP BY sku
ORDER BY users DESC
LIMIT 20;

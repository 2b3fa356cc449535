-- dialect: snowflake
-- A slowly changing dimension of type 2: keep each version of a customer with its period of validity,
-- so that last year's sales are still counted for the region where the customer lived then.

CREATE TABLE IF NOT EXISTS dim_customer (
    customer_key  NUMBER(38, 0) AUTOINCREMENT PRIMARY KEY,
    customer_id   VARCHAR NOT NULL,
    name          VARCHAR,
    region        VARCHAR,
    segment       VARCHAR,
    row_hash      VARCHAR(64) NOT NULL,
    valid_from    TIMESTAMP_NTZ NOT NULL,
    valid_to      TIMESTAMP_NTZ NOT NULL,
    is_current    BOOLEAN NOT NULL
);

-- Step 1. What arrived today, one row a customer, with a hash over everything whose change matters.
-- COALESCE keeps NULL and the empty string apart from each other in the hash.
CREATE OR REPLACE TEMPORARY TABLE incoming AS
SELECT
    customer_id,
    name,
    region,
    segment,
    loaded_at,
    SHA2(CONCAT_WS('|', COALESCE(name, '~'), COALESCE(region, '~'), COALESCE(segment, '~')), 256)
        AS row_hash
FROM staging.customer
QUALIFY ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY loaded_at DESC) = 1;

-- Step 2. Close the current version of every customer that changed.
UPDATE dim_customer
SET valid_to = incoming.loaded_at, is_current = FALSE
FROM incoming
WHERE dim_customer.customer_id = incoming.customer_id
  AND dim_customer.is_current
  AND dim_customer.row_hash <> incoming.row_hash;

-- Step 3. Open a version for the new and the changed ones: neither has a current row now.
INSERT INTO dim_customer
    (customer_id, name, region, segment, row_hash, valid_from, valid_to, is_current)
SELECT
    i.customer_id,
    i.name,
    i.region,
    i.segment,
    i.row_hash,
    i.loaded_at,
    CAST('9999-12-31' AS TIMESTAMP_NTZ),
    TRUE
FROM incoming AS i
LEFT JOIN dim_customer AS d ON d.customer_id = i.customer_id AND d.is_current
WHERE d.customer_id IS NULL;

-- The join to facts is on the half-open period [valid_from, valid_to): each sale meets one version.
SELECT d.region, DATE_TRUNC('month', s.sold_at) AS month, SUM(s.amount) AS revenue
FROM fact_sale AS s
JOIN dim_customer AS d
    ON d.customer_id = s.customer_id
    AND s.sold_at >= d.valid_from
    AND s.sold_at < d.valid_to
GROUP BY d.region, DATE_TRUNC('month', s.sold_at)
ORDER BY month, revenue DESC;

-- A check to run after each load: periods of one customer must not overlap.
SELECT a.customer_id, a.customer_key, b.customer_key
FROM dim_customer AS a
JOIN dim_customer AS b
    ON a.customer_id = b.customer_id
    AND a.customer_key < b.customer_key
    AND a.valid_from < b.valid_to
    AND b.valid_from < a.valid_to;

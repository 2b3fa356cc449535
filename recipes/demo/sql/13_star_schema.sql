-- dialect: redshift
-- A star schema for retail sales: one fact table, four dimensions.
--
-- Grain first: one row is one product on one till receipt. Every measure and every key must be true
-- at that grain; whatever is not (the discount of a whole receipt) is allocated to the lines first.

CREATE TABLE dim_date (
    date_key      INTEGER NOT NULL PRIMARY KEY,   -- 20240131
    calendar_date DATE NOT NULL,
    weekday       SMALLINT NOT NULL,
    iso_week      SMALLINT NOT NULL,
    month_no      SMALLINT NOT NULL,
    quarter_no    SMALLINT NOT NULL,
    year_no       SMALLINT NOT NULL,
    is_holiday    BOOLEAN NOT NULL
) DISTSTYLE ALL;

CREATE TABLE dim_product (
    product_key INTEGER NOT NULL PRIMARY KEY,
    sku         VARCHAR(32) NOT NULL,
    name        VARCHAR(200) NOT NULL,
    brand       VARCHAR(80),
    category    VARCHAR(80) NOT NULL,
    department  VARCHAR(80) NOT NULL
) DISTSTYLE ALL;

CREATE TABLE dim_store (
    store_key INTEGER NOT NULL PRIMARY KEY,
    city      VARCHAR(80) NOT NULL,
    country   CHAR(2) NOT NULL,
    opened_on DATE NOT NULL,
    square_m  INTEGER
) DISTSTYLE ALL;

CREATE TABLE fact_sales (
    date_key    INTEGER NOT NULL REFERENCES dim_date (date_key),
    store_key   INTEGER NOT NULL REFERENCES dim_store (store_key),
    product_key INTEGER NOT NULL REFERENCES dim_product (product_key),
    receipt_no  BIGINT NOT NULL,
    quantity    INTEGER NOT NULL,
    net_amount  DECIMAL(12, 2) NOT NULL,
    cost_amount DECIMAL(12, 2) NOT NULL
) DISTKEY (receipt_no) SORTKEY (date_key, store_key);

-- Margin by department and quarter, with subtotals in one pass. GROUPING tells a subtotal's null from
-- a department whose name is not known.
SELECT
    CASE WHEN GROUPING(p.department) = 1 THEN 'all departments' ELSE p.department END AS department,
    d.year_no,
    d.quarter_no,
    SUM(f.net_amount) AS revenue,
    SUM(f.net_amount - f.cost_amount) AS margin,
    ROUND(100.0 * SUM(f.net_amount - f.cost_amount) / NULLIF(SUM(f.net_amount), 0), 1) AS margin_percent
FROM fact_sales AS f
JOIN dim_date AS d ON d.date_key = f.date_key
JOIN dim_product AS p ON p.product_key = f.product_key
WHERE d.year_no = 2024
GROUP BY GROUPING SETS (
    (p.department, d.year_no, d.quarter_no),
    (p.department, d.year_no),
    (d.year_no)
)
ORDER BY department, d.quarter_no;

-- Like for like: only stores that were open in both years may be compared.
SELECT d.year_no, SUM(f.net_amount) AS revenue
FROM fact_sales AS f
JOIN dim_date AS d ON d.date_key = f.date_key
JOIN dim_store AS s ON s.store_key = f.store_key
WHERE s.opened_on < DATE '2023-01-01' AND d.year_no IN (2023, 2024)
GROUP BY d.year_no;

-- Market baskets: products bought together, on at least 100 receipts.
SELECT a.product_key, b.product_key AS with_product, COUNT(*) AS receipts
FROM fact_sales AS a
JOIN fact_sales AS b ON a.receipt_no = b.receipt_no AND a.product_key < b.product_key
GROUP BY a.product_key, b.product_key
HAVING COUNT(*) >= 100
ORDER BY receipts DESC;

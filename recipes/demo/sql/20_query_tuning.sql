-- dialect: postgres
-- A slow report, made fast in five steps. The table has 80 million rows.

CREATE TABLE payment (
    payment_id  BIGINT PRIMARY KEY,
    merchant_id INTEGER NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    state       TEXT NOT NULL,
    amount      NUMERIC(12, 2) NOT NULL,
    reference   TEXT
);

-- The report as found: 41 seconds, a sequential scan.
EXPLAIN ANALYZE
SELECT merchant_id, COUNT(*), SUM(amount)
FROM payment
WHERE DATE(created_at) = DATE '2024-05-17' AND state = 'failed'
GROUP BY merchant_id;

-- Step 1. Compare the column itself, with a half-open range. A function around the column hides it
-- from the index; BETWEEN would count midnight twice.
SELECT merchant_id, COUNT(*) AS failed, SUM(amount) AS amount
FROM payment
WHERE created_at >= TIMESTAMPTZ '2024-05-17 00:00:00+00'
  AND created_at < TIMESTAMPTZ '2024-05-18 00:00:00+00'
  AND state = 'failed'
GROUP BY merchant_id;

-- Step 2. A partial index. Failed payments are 0.4 % of all, so the index is small and stays in
-- memory. INCLUDE makes it covering: the table itself is not touched.
CREATE INDEX CONCURRENTLY payment_failed
    ON payment (created_at) INCLUDE (merchant_id, amount)
    WHERE state = 'failed';

-- Step 3. An index-only scan needs an up-to-date visibility map.
VACUUM ANALYZE payment;

-- Step 4. Estimates were off by a factor of 200, since state and merchant are not independent: two
-- merchants have most of the failures. Extended statistics tell the planner.
CREATE STATISTICS payment_merchant_state (dependencies, mcv) ON merchant_id, state FROM payment;

-- Step 5. Page through results by key, not by OFFSET. OFFSET reads and discards all earlier rows, so
-- page 1000 costs a thousand times page 1; and rows that arrive meanwhile shift the pages.
SELECT payment_id, created_at, amount
FROM payment
WHERE merchant_id = 77
  AND (created_at, payment_id) < (TIMESTAMPTZ '2024-05-17 09:30:00+00', 5512345)
ORDER BY created_at DESC, payment_id DESC
LIMIT 50;

-- What is worth tuning next? Total time counts, not the slowest single run.
SELECT
    calls,
    ROUND(CAST(total_exec_time / 1000 AS NUMERIC), 1) AS total_s,
    ROUND(CAST(mean_exec_time AS NUMERIC), 2) AS mean_ms,
    LEFT(query, 80) AS query
FROM pg_stat_statements
ORDER BY total_exec_time DESC
LIMIT 10;

-- Indexes that nothing has used since the statistics were reset cost every insert and give nothing.
SELECT relname, indexrelname, idx_scan
FROM pg_stat_user_indexes
WHERE idx_scan = 0
ORDER BY relname, indexrelname;

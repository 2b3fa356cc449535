-- dialect: postgres
-- Insert or update, in four dialects. The table: stock on hand by warehouse and product.

CREATE TABLE stock (
    warehouse_id INTEGER NOT NULL,
    sku          VARCHAR(32) NOT NULL,
    on_hand      INTEGER NOT NULL CHECK (on_hand >= 0),
    updated_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (warehouse_id, sku)
);

-- PostgreSQL and SQLite. EXCLUDED is the row that could not be inserted. The WHERE clause keeps a
-- late message from overwriting a newer one, and skips the write altogether then.
INSERT INTO stock (warehouse_id, sku, on_hand, updated_at)
VALUES (1, 'LAMP-07', 40, TIMESTAMP '2024-06-01 08:00:00')
ON CONFLICT (warehouse_id, sku) DO UPDATE
SET on_hand = EXCLUDED.on_hand, updated_at = EXCLUDED.updated_at
WHERE stock.updated_at < EXCLUDED.updated_at;

-- Standard SQL (also SQL Server, Oracle, Snowflake, Spark with Delta or Iceberg, PostgreSQL 15).
-- The source must hold each key once: a target row matched twice is an error in most systems and
-- a random choice in others.
MERGE INTO stock AS target
USING (
    SELECT warehouse_id, sku, SUM(delta) AS delta, MAX(at) AS at
    FROM movement
    WHERE at > TIMESTAMP '2024-06-01 00:00:00'
    GROUP BY warehouse_id, sku
) AS source
ON target.warehouse_id = source.warehouse_id AND target.sku = source.sku
WHEN MATCHED AND target.on_hand + source.delta = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET on_hand = target.on_hand + source.delta, updated_at = source.at
WHEN NOT MATCHED THEN INSERT (warehouse_id, sku, on_hand, updated_at)
    VALUES (source.warehouse_id, source.sku, source.delta, source.at);

-- MySQL and MariaDB write the same as
--     INSERT INTO stock (...) VALUES (...) AS new
--     ON DUPLICATE KEY UPDATE on_hand = new.on_hand, updated_at = new.updated_at;
-- It fires on any unique key, not on a named one: a second unique index changes its meaning.

-- Without any of these, two statements in one transaction do. The order matters: update first, for
-- an insert first would fail on the common case.
BEGIN;

UPDATE stock
SET on_hand = on_hand + 5, updated_at = CURRENT_TIMESTAMP
WHERE warehouse_id = 1 AND sku = 'LAMP-07';

INSERT INTO stock (warehouse_id, sku, on_hand, updated_at)
SELECT 1, 'LAMP-07', 5, CURRENT_TIMESTAMP
WHERE NOT EXISTS (SELECT 1 FROM stock WHERE warehouse_id = 1 AND sku = 'LAMP-07');

COMMIT;

-- dialect: postgres
-- Orders that arrive as JSON: keep the document, query it, and lift out what matters.

CREATE TABLE inbox (
    inbox_id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    document    JSONB NOT NULL
);

-- JSONB drops the order of keys, white space and duplicate keys; where a signature covers the exact
-- bytes, keep them in a TEXT or BYTEA column beside it.
INSERT INTO inbox (document) VALUES
    ('{"order": "A-17", "customer": {"id": 5, "country": "FR"},
       "lines": [{"sku": "LAMP-07", "qty": 2, "price": 39.5}, {"sku": "BULB-1", "qty": 4, "price": 3}]}'),
    ('{"order": "A-18", "customer": {"id": 9, "country": "DE"}, "lines": [], "note": "call first"}');

-- One arrow keeps JSON, two arrows give text. Casts are explicit: a price that is no number fails here
-- and not in the report.
SELECT
    document ->> 'order' AS order_no,
    document -> 'customer' ->> 'country' AS country,
    CAST(document -> 'customer' ->> 'id' AS INTEGER) AS customer_id
FROM inbox;

-- Lines as rows. LEFT JOIN LATERAL keeps the order without lines.
SELECT
    i.document ->> 'order' AS order_no,
    line.value ->> 'sku' AS sku,
    CAST(line.value ->> 'qty' AS INTEGER) AS quantity,
    CAST(line.value ->> 'price' AS NUMERIC) AS price
FROM inbox AS i
LEFT JOIN LATERAL JSONB_ARRAY_ELEMENTS(i.document -> 'lines') AS line(value) ON TRUE
ORDER BY order_no, sku;

-- Containment finds documents that have at least this structure, and a GIN index serves it.
CREATE INDEX inbox_document ON inbox USING GIN (document JSONB_PATH_OPS);

SELECT inbox_id
FROM inbox
WHERE document @> '{"customer": {"country": "FR"}}';

-- What is asked for all the time deserves a column. A generated one cannot drift from its document.
ALTER TABLE inbox
    ADD COLUMN order_no TEXT GENERATED ALWAYS AS (document ->> 'order') STORED;

CREATE UNIQUE INDEX inbox_order_no ON inbox (order_no);

-- And back: a nested document out of flat tables, built by the database in one round trip.
SELECT
    c.customer_id,
    JSONB_BUILD_OBJECT(
        'name', c.name,
        'orders', COALESCE(
            JSONB_AGG(JSONB_BUILD_OBJECT('no', o.order_no, 'total', o.total) ORDER BY o.order_no)
                FILTER (WHERE o.order_no IS NOT NULL),
            CAST('[]' AS JSONB)
        )
    ) AS document
FROM customer AS c
LEFT JOIN customer_order AS o ON o.customer_id = c.customer_id
GROUP BY c.customer_id, c.name;

-- Which keys occur at all? The first question about any pile of documents.
SELECT key, COUNT(*) AS documents, MIN(JSONB_TYPEOF(document -> key)) AS kind
FROM inbox
CROSS JOIN LATERAL JSONB_OBJECT_KEYS(document) AS keys(key)
GROUP BY key
ORDER BY documents DESC, key;

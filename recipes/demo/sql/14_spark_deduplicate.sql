-- dialect: spark
-- Deduplicate a table of web pages in Spark SQL: exact duplicates, then one page a URL.

CREATE TABLE IF NOT EXISTS web.page (
    url STRING,
    fetched TIMESTAMP,
    host STRING,
    language STRING,
    body STRING
) USING PARQUET
PARTITIONED BY (language);

-- Exact duplicates by a hash of the normalised text. XXHASH64 is fast, but 64 bits collide among some
-- billion rows; SHA2 of 256 bits does not. Normalise first: case and white space are no difference.
CREATE OR REPLACE TEMPORARY VIEW hashed AS
SELECT
    url,
    fetched,
    host,
    language,
    body,
    SHA2(LOWER(REGEXP_REPLACE(TRIM(body), '\\s+', ' ')), 256) AS digest
FROM web.page
WHERE body IS NOT NULL AND LENGTH(body) > 200;

-- Keep the oldest page of a digest. MIN over a struct compares its fields in turn, so the whole
-- choice is one aggregate and no window has to sort the texts.
CREATE OR REPLACE TEMPORARY VIEW survivor AS
SELECT digest, MIN(NAMED_STRUCT('fetched', fetched, 'url', url)) AS first, COUNT(*) AS copies
FROM hashed
GROUP BY digest;

SELECT /*+ BROADCAST(s) */ h.language, COUNT(*) AS pages, SUM(s.copies) AS before
FROM hashed AS h
JOIN survivor AS s ON s.digest = h.digest AND s.first.url = h.url AND s.first.fetched = h.fetched
GROUP BY h.language
ORDER BY pages DESC;

-- Hosts that repeat themselves most: boilerplate, mirrors, error pages with status 200.
SELECT
    host,
    COUNT(*) AS pages,
    COUNT(DISTINCT digest) AS texts,
    ROUND(1 - COUNT(DISTINCT digest) / COUNT(*), 3) AS duplicate_share
FROM hashed
GROUP BY host
HAVING COUNT(*) >= 1000
ORDER BY duplicate_share DESC
LIMIT 50;

-- Lines that stand on more than a hundred pages of one host are menus and footers, not content.
SELECT host, line, COUNT(DISTINCT url) AS pages
FROM hashed
LATERAL VIEW EXPLODE(SPLIT(body, '\n')) AS line
WHERE LENGTH(TRIM(line)) > 0
GROUP BY host, line
HAVING COUNT(DISTINCT url) > 100
ORDER BY pages DESC;

-- One current page a URL, for the index.
INSERT OVERWRITE TABLE web.current_page
SELECT url, fetched, host, language, body
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY url ORDER BY fetched DESC, digest) AS age
    FROM hashed
) AS versions
WHERE age = 1;

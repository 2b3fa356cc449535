-- dialect: duckdb
-- Sensor readings in DuckDB: regular grids, gaps filled, and the value as of a moment.

CREATE TABLE reading (sensor VARCHAR, at TIMESTAMP, celsius DOUBLE);
CREATE TABLE calibration (sensor VARCHAR, valid_from TIMESTAMP, "offset" DOUBLE);

-- Files can be read as tables; a pattern takes all of them, and union_by_name forgives new columns.
INSERT INTO reading
SELECT sensor, at, celsius
FROM READ_PARQUET('readings/2024-*.parquet', union_by_name = TRUE)
WHERE celsius BETWEEN -60 AND 60;

-- An as-of join takes, for each reading, the latest calibration that was valid by then. An ordinary
-- join would need a correlated subquery and meet every earlier calibration.
CREATE VIEW calibrated AS
SELECT r.sensor, r.at, r.celsius + COALESCE(c."offset", 0) AS celsius
FROM reading AS r
ASOF LEFT JOIN calibration AS c ON r.sensor = c.sensor AND r.at >= c.valid_from;

-- Ten-minute means on a complete grid. The grid comes first; readings are joined to it, so that a
-- silent sensor shows as null and not as a missing row.
WITH grid AS (
    SELECT s.sensor, g.at
    FROM (SELECT DISTINCT sensor FROM calibrated) AS s
    CROSS JOIN (
        SELECT UNNEST(GENERATE_SERIES(
            TIMESTAMP '2024-06-01 00:00:00', TIMESTAMP '2024-06-01 23:50:00', INTERVAL 10 MINUTE
        )) AS at
    ) AS g
),
means AS (
    SELECT sensor, TIME_BUCKET(INTERVAL 10 MINUTE, at) AS at, AVG(celsius) AS celsius
    FROM calibrated
    GROUP BY ALL
)
SELECT
    g.sensor,
    g.at,
    m.celsius,
    LAST_VALUE(m.celsius IGNORE NULLS) OVER (PARTITION BY g.sensor ORDER BY g.at) AS carried_forward
FROM grid AS g
LEFT JOIN means AS m ON m.sensor = g.sensor AND m.at = g.at
ORDER BY g.sensor, g.at;

-- Outliers against the sensor's own hour: more than three median absolute deviations away.
WITH centred AS (
    SELECT
        sensor,
        at,
        celsius,
        celsius - MEDIAN(celsius) OVER (PARTITION BY sensor, DATE_TRUNC('hour', at)) AS deviation
    FROM calibrated
),
spread AS (
    SELECT sensor, DATE_TRUNC('hour', at) AS hour, MEDIAN(ABS(deviation)) AS mad
    FROM centred
    GROUP BY ALL
)
SELECT c.sensor, c.at, c.celsius, c.deviation / s.mad AS score
FROM centred AS c
JOIN spread AS s ON s.sensor = c.sensor AND s.hour = DATE_TRUNC('hour', c.at)
WHERE s.mad > 0 AND ABS(c.deviation) > 3 * s.mad
ORDER BY ABS(c.deviation / s.mad) DESC;

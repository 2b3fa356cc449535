-- dialect: postgres
-- Bed occupancy from admissions: intervals, overlaps and the peak.

CREATE TABLE stay (
    stay_id     INTEGER PRIMARY KEY,
    patient_id  INTEGER NOT NULL,
    ward        TEXT NOT NULL,
    admitted_at TIMESTAMP NOT NULL,
    left_at     TIMESTAMP,              -- null: still there
    CHECK (left_at IS NULL OR left_at > admitted_at)
);

-- Who was on ward B at noon on 1 March? Intervals are half-open: whoever leaves at noon is not there.
SELECT patient_id
FROM stay
WHERE ward = 'B'
  AND admitted_at <= TIMESTAMP '2024-03-01 12:00:00'
  AND COALESCE(left_at, TIMESTAMP 'infinity') > TIMESTAMP '2024-03-01 12:00:00'
ORDER BY patient_id;

-- The peak: turn each stay into +1 and -1 and take the running sum. Departures sort before arrivals
-- of the same moment, for a bed freed at noon can be filled at noon.
WITH change AS (
    SELECT ward, admitted_at AS at, 1 AS delta FROM stay
    UNION ALL
    SELECT ward, left_at, -1 FROM stay WHERE left_at IS NOT NULL
),
occupied AS (
    SELECT
        ward,
        at,
        SUM(delta) OVER (PARTITION BY ward ORDER BY at, delta ROWS UNBOUNDED PRECEDING) AS beds
    FROM change
)
SELECT DISTINCT ON (ward) ward, beds AS peak, at
FROM occupied
ORDER BY ward, beds DESC, at;

-- Bed days a month: the overlap of each stay with each month, in days. LEAST and GREATEST clip the
-- stay to the month; the join keeps only months that it touches.
SELECT
    TO_CHAR(m.start_at, 'YYYY-MM') AS month,
    s.ward,
    ROUND(CAST(SUM(EXTRACT(EPOCH FROM
        LEAST(COALESCE(s.left_at, NOW()), m.start_at + INTERVAL '1 month')
        - GREATEST(s.admitted_at, m.start_at)
    )) / 86400 AS NUMERIC), 1) AS bed_days
FROM GENERATE_SERIES(
    TIMESTAMP '2024-01-01', TIMESTAMP '2024-12-01', INTERVAL '1 month'
) AS m(start_at)
JOIN stay AS s
    ON s.admitted_at < m.start_at + INTERVAL '1 month'
    AND COALESCE(s.left_at, NOW()) > m.start_at
GROUP BY m.start_at, s.ward
ORDER BY m.start_at, s.ward;

-- Readmissions within 30 days, the usual measure of quality. LAG looks at the patient's previous stay.
SELECT
    ward,
    COUNT(*) AS stays,
    COUNT(*) FILTER (WHERE admitted_at - previous_left <= INTERVAL '30 days') AS readmitted
FROM (
    SELECT
        ward,
        admitted_at,
        LAG(left_at) OVER (PARTITION BY patient_id ORDER BY admitted_at) AS previous_left
    FROM stay
) AS chained
GROUP BY ward
ORDER BY ward;

-- Two stays of one patient must not overlap; this finds those that do.
SELECT a.stay_id, b.stay_id AS overlaps
FROM stay AS a
JOIN stay AS b
    ON a.patient_id = b.patient_id
    AND a.stay_id < b.stay_id
    AND a.admitted_at < COALESCE(b.left_at, TIMESTAMP 'infinity')
    AND b.admitted_at < COALESCE(a.left_at, TIMESTAMP 'infinity');

-- dialect: duckdb
-- Gaps and islands: find the unbroken runs in a sequence.
--
-- The trick is to build a value that stays constant within a run. For consecutive dates, the date
-- minus its row number is such a value: both grow by one a row until a day is missing.

CREATE TABLE visit (user_id INTEGER, day DATE);

INSERT INTO visit VALUES
    (1, DATE '2024-03-01'), (1, DATE '2024-03-02'), (1, DATE '2024-03-03'),
    (1, DATE '2024-03-07'), (1, DATE '2024-03-08'),
    (2, DATE '2024-03-02'), (2, DATE '2024-03-04');

-- Longest streak of daily visits by user. DISTINCT first: two visits on one day are one day.
WITH days AS (
    SELECT DISTINCT user_id, day FROM visit
),
numbered AS (
    SELECT
        user_id,
        day,
        day - CAST(ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY day) AS INTEGER) AS island
    FROM days
),
streaks AS (
    SELECT user_id, island, MIN(day) AS first_day, MAX(day) AS last_day, COUNT(*) AS length
    FROM numbered
    GROUP BY user_id, island
)
SELECT user_id, first_day, last_day, length
FROM streaks
QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY length DESC, first_day) = 1
ORDER BY user_id;
-- user 1: 2024-03-01 to 2024-03-03, 3 days; user 2: 2024-03-02, 1 day

-- Sessions: a new one starts after 30 minutes without an event. Here no arithmetic value is constant,
-- so the starts are marked with 1 and summed up: the running sum is the number of the session.
CREATE TABLE click (user_id INTEGER, at TIMESTAMP, page VARCHAR);

WITH marked AS (
    SELECT
        user_id,
        at,
        page,
        CASE
            WHEN at - LAG(at) OVER (PARTITION BY user_id ORDER BY at) <= INTERVAL 30 MINUTE THEN 0
            ELSE 1
        END AS starts
    FROM click
),
sessions AS (
    SELECT *, SUM(starts) OVER (PARTITION BY user_id ORDER BY at) AS session_no
    FROM marked
)
SELECT
    user_id,
    session_no,
    MIN(at) AS started,
    MAX(at) AS ended,
    COUNT(*) AS clicks,
    FIRST(page ORDER BY at) AS landing_page
FROM sessions
GROUP BY user_id, session_no
ORDER BY user_id, session_no;

-- The gaps instead: invoice numbers that are missing. LEAD sees the next existing number.
CREATE TABLE invoice (number INTEGER PRIMARY KEY);

SELECT number + 1 AS first_missing, following - 1 AS last_missing
FROM (SELECT number, LEAD(number) OVER (ORDER BY number) AS following FROM invoice) AS pairs
WHERE following > number + 1
ORDER BY first_missing;

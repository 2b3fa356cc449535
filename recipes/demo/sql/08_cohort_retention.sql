-- dialect: bigquery
-- Cohort retention: of those who signed up in a month, what part is active n months later?

WITH cohort AS (
    SELECT user_id, DATE_TRUNC(DATE(MIN(created_at)), MONTH) AS cohort_month
    FROM `shop.analytics.user`
    GROUP BY user_id
),
activity AS (
    -- one row a user and month, however many orders
    SELECT DISTINCT user_id, DATE_TRUNC(DATE(ordered_at), MONTH) AS active_month
    FROM `shop.analytics.order`
    WHERE status != 'cancelled'
),
joined AS (
    SELECT
        c.cohort_month,
        c.user_id,
        DATE_DIFF(a.active_month, c.cohort_month, MONTH) AS month_no
    FROM cohort AS c
    JOIN activity AS a ON a.user_id = c.user_id AND a.active_month >= c.cohort_month
),
size AS (
    SELECT cohort_month, COUNT(*) AS users
    FROM cohort
    GROUP BY cohort_month
)
SELECT
    s.cohort_month,
    s.users,
    j.month_no,
    COUNT(DISTINCT j.user_id) AS active,
    ROUND(COUNT(DISTINCT j.user_id) / s.users, 3) AS retention
FROM size AS s
JOIN joined AS j ON j.cohort_month = s.cohort_month
GROUP BY s.cohort_month, s.users, j.month_no
ORDER BY s.cohort_month, j.month_no;

-- The same as a triangle, one row a cohort. COUNTIF over a month number is a pivot that also works
-- where months are missing: a missing month is 0, not a shifted column.
SELECT
    cohort_month,
    COUNT(DISTINCT IF(month_no = 0, user_id, NULL)) AS month_0,
    COUNT(DISTINCT IF(month_no = 1, user_id, NULL)) AS month_1,
    COUNT(DISTINCT IF(month_no = 2, user_id, NULL)) AS month_2,
    COUNT(DISTINCT IF(month_no = 3, user_id, NULL)) AS month_3
FROM (
    SELECT
        first.cohort_month,
        o.user_id,
        DATE_DIFF(DATE(o.ordered_at), first.cohort_month, MONTH) AS month_no
    FROM `shop.analytics.order` AS o
    JOIN (
        SELECT user_id, DATE_TRUNC(DATE(MIN(created_at)), MONTH) AS cohort_month
        FROM `shop.analytics.user`
        GROUP BY user_id
    ) AS first
    ON first.user_id = o.user_id
    WHERE o.status != 'cancelled'
) AS ages
GROUP BY cohort_month
ORDER BY cohort_month;

-- A caution: the youngest cohorts have not had their later months yet. Before averaging a column,
-- drop the cohorts for which DATE_ADD(cohort_month, INTERVAL month_no + 1 MONTH) is in the future.

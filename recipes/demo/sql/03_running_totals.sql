-- dialect: postgres
-- Window functions, part 1: balances, shares and ranks from one ledger.
--
-- A window function looks at rows around the current one without collapsing them, so totals can stand
-- beside the rows that make them up.

CREATE TABLE ledger (
    entry_id    BIGINT PRIMARY KEY,
    account     VARCHAR(20) NOT NULL,
    booked_on   DATE NOT NULL,
    amount      NUMERIC(12, 2) NOT NULL
);

-- The balance after each entry. ROWS, not the default RANGE: with RANGE all entries of one day would
-- show the balance at the end of that day. entry_id breaks ties, so the result does not change
-- from run to run.
SELECT
    account,
    booked_on,
    amount,
    SUM(amount) OVER (
        PARTITION BY account
        ORDER BY booked_on, entry_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS balance
FROM ledger
ORDER BY account, booked_on, entry_id;

-- The day on which each account first went below zero.
WITH balances AS (
    SELECT
        account,
        booked_on,
        SUM(amount) OVER (PARTITION BY account ORDER BY booked_on, entry_id) AS balance
    FROM ledger
)
SELECT account, MIN(booked_on) AS first_overdrawn
FROM balances
WHERE balance < 0
GROUP BY account;

-- Each account's share of all deposits, and its rank. RANK leaves gaps after ties, DENSE_RANK does
-- not, ROW_NUMBER breaks ties arbitrarily.
SELECT
    account,
    SUM(amount) AS deposits,
    ROUND(100.0 * SUM(amount) / SUM(SUM(amount)) OVER (), 1) AS share_percent,
    RANK() OVER (ORDER BY SUM(amount) DESC) AS place
FROM ledger
WHERE amount > 0
GROUP BY account
ORDER BY place;

-- A moving average over seven calendar days, whatever the number of entries a day.
SELECT
    booked_on,
    SUM(amount) AS total,
    AVG(SUM(amount)) OVER (
        ORDER BY booked_on
        RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW
    ) AS seven_day_mean
FROM ledger
GROUP BY booked_on
ORDER BY booked_on;

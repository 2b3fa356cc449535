-- dialect: duckdb
-- Allocating seats: the divisor method of D'Hondt and the largest remainder method, as queries.

CREATE TABLE result (party VARCHAR PRIMARY KEY, votes INTEGER NOT NULL);

INSERT INTO result VALUES ('Blue', 340000), ('Green', 280000), ('Red', 160000), ('Gold', 60000);

-- D'Hondt: divide each party's votes by 1, 2, 3, ...; the largest seven quotients win the seven seats.
-- The whole method is a cross join, an order and a limit.
WITH quotient AS (
    SELECT r.party, d.divisor, r.votes / d.divisor AS value
    FROM result AS r
    CROSS JOIN (SELECT UNNEST(GENERATE_SERIES(1, 7)) AS divisor) AS d
),
winner AS (
    SELECT party, divisor, value
    FROM quotient
    ORDER BY value DESC, party
    LIMIT 7
)
SELECT r.party, r.votes, COUNT(w.divisor) AS seats
FROM result AS r
LEFT JOIN winner AS w ON w.party = r.party
GROUP BY r.party, r.votes
ORDER BY r.votes DESC;
-- Blue 3, Green 3, Red 1, Gold 0: the seventh seat goes to Green with 280000 / 3 = 93333.3, ahead of
-- Blue's 340000 / 4 = 85000.

-- Sainte-Lague divides by 1, 3, 5, ... and is kinder to small parties: Gold's 60000 now beats Green's
-- 280000 / 5 = 56000, so the seats are Blue 3, Green 2, Red 1, Gold 1.
WITH quotient AS (
    SELECT r.party, r.votes / (2 * d.k - 1) AS value
    FROM result AS r
    CROSS JOIN (SELECT UNNEST(GENERATE_SERIES(1, 7)) AS k) AS d
)
SELECT party, COUNT(*) AS seats
FROM (SELECT party, value FROM quotient ORDER BY value DESC, party LIMIT 7) AS winner
GROUP BY party
ORDER BY seats DESC, party;

-- Largest remainder (Hare quota): whole quotas first, then one seat each by remainder. The quota
-- is 840000 / 7 = 120000, the shares 2.83, 2.33, 1.33 and 0.5, so Blue and Gold take the last two.
WITH quota AS (
    SELECT party, votes, votes * 7 / SUM(votes) OVER () AS share
    FROM result
),
base AS (
    SELECT party, votes, FLOOR(share) AS seats, share - FLOOR(share) AS remainder
    FROM quota
),
ranked AS (
    SELECT
        *,
        ROW_NUMBER() OVER (ORDER BY remainder DESC, votes DESC) AS place,
        7 - SUM(seats) OVER () AS left_over
    FROM base
)
SELECT party, votes, CAST(seats + CASE WHEN place <= left_over THEN 1 ELSE 0 END AS INTEGER) AS seats
FROM ranked
ORDER BY votes DESC;

-- The index of disproportionality of Gallagher: root of half the squared differences, in percent.
CREATE TABLE chamber (party VARCHAR PRIMARY KEY, votes INTEGER, seats INTEGER);

SELECT SQRT(0.5 * SUM(POWER(vote_share - seat_share, 2))) AS gallagher
FROM (
    SELECT
        100.0 * votes / SUM(votes) OVER () AS vote_share,
        100.0 * seats / SUM(seats) OVER () AS seat_share
    FROM chamber
) AS shares;

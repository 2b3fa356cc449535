-- dialect: duckdb
-- Statistics without leaving the database: regression, histogram, test of proportions, bootstrap.

CREATE TABLE flat (flat_id INTEGER, district VARCHAR, square_m DOUBLE, rent DOUBLE, furnished BOOLEAN);

-- Least squares, rent = a + b * area, by district. The aggregates are the textbook formulas:
-- slope = cov(x, y) / var(x), intercept = mean(y) - slope * mean(x).
SELECT
    district,
    COUNT(*) AS flats,
    REGR_SLOPE(rent, square_m) AS eur_per_square_m,
    REGR_INTERCEPT(rent, square_m) AS base_rent,
    REGR_R2(rent, square_m) AS r_squared,
    COVAR_POP(rent, square_m) / VAR_POP(square_m) AS slope_by_hand
FROM flat
GROUP BY district
HAVING COUNT(*) >= 30
ORDER BY eur_per_square_m DESC;

-- Residuals: which flats are dear for their size? A fit per district, joined back to the rows.
WITH fit AS (
    SELECT district, REGR_SLOPE(rent, square_m) AS b, REGR_INTERCEPT(rent, square_m) AS a
    FROM flat
    GROUP BY district
)
SELECT f.flat_id, f.district, f.rent, f.rent - (fit.a + fit.b * f.square_m) AS residual
FROM flat AS f
JOIN fit ON fit.district = f.district
ORDER BY residual DESC
LIMIT 20;

-- A histogram as text: 100 euros a bin, one star for ten flats.
SELECT
    CAST(FLOOR(rent / 100) * 100 AS INTEGER) AS bin_from,
    COUNT(*) AS flats,
    REPEAT('*', CAST(COUNT(*) / 10 AS INTEGER)) AS bar
FROM flat
GROUP BY bin_from
ORDER BY bin_from;

-- Do furnished flats stand in district North more often than in South? z for two proportions:
-- z = (p1 - p2) / sqrt(p (1 - p) (1 / n1 + 1 / n2)), p being the pooled share.
WITH counted AS (
    SELECT
        COUNT(*) FILTER (WHERE district = 'North') AS n1,
        COUNT(*) FILTER (WHERE district = 'North' AND furnished) AS x1,
        COUNT(*) FILTER (WHERE district = 'South') AS n2,
        COUNT(*) FILTER (WHERE district = 'South' AND furnished) AS x2
    FROM flat
),
shares AS (
    SELECT n1, n2, x1 / n1 AS p1, x2 / n2 AS p2, (x1 + x2) / (n1 + n2) AS p FROM counted
)
SELECT p1, p2, (p1 - p2) / SQRT(p * (1 - p) * (1 / n1 + 1 / n2)) AS z
FROM shares;

-- Bootstrap of the median: 200 resamples, each row drawn with replacement by a random row number.
WITH numbered AS (
    SELECT rent, ROW_NUMBER() OVER () AS n, COUNT(*) OVER () AS total FROM flat
),
draw AS (
    SELECT
        resample.b,
        1 + CAST(FLOOR(RANDOM() * numbered.total) AS BIGINT) AS pick
    FROM numbered
    CROSS JOIN (SELECT UNNEST(GENERATE_SERIES(1, 200)) AS b) AS resample
),
medians AS (
    SELECT d.b, MEDIAN(n.rent) AS median_rent
    FROM draw AS d
    JOIN numbered AS n ON n.n = d.pick
    GROUP BY d.b
)
SELECT
    QUANTILE_CONT(median_rent, 0.025) AS low,
    QUANTILE_CONT(median_rent, 0.975) AS high
FROM medians;

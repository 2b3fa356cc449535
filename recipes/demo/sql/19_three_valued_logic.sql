-- dialect: postgres
-- NULL is not a value but the absence of one. A tour of the surprises, each with what to write instead.

CREATE TABLE employee (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    manager_id INTEGER REFERENCES employee (id),
    bonus      NUMERIC(10, 2)
);

INSERT INTO employee (id, name, manager_id, bonus) VALUES
    (1, 'Ada', NULL, 900), (2, 'Ben', 1, NULL), (3, 'Cleo', 1, 0), (4, 'Dora', 2, 300);

-- 1. NOT IN with a null among the values is never true: "id is none of 1, 2 and something unknown"
--    cannot be known. This returns no row, although Cleo and Dora manage nobody.
SELECT name FROM employee WHERE id NOT IN (SELECT manager_id FROM employee);

--    NOT EXISTS asks whether there is a row, which is always known.
SELECT e.name
FROM employee AS e
WHERE NOT EXISTS (SELECT 1 FROM employee AS r WHERE r.manager_id = e.id);

-- 2. Aggregates skip nulls, COUNT(*) does not. The mean bonus is 400 over three people who have a
--    bonus on record, but 300 over all four.
SELECT
    COUNT(*) AS people,                       -- 4
    COUNT(bonus) AS with_bonus,               -- 3
    AVG(bonus) AS mean_of_known,              -- 400
    SUM(bonus) / COUNT(*) AS mean_of_all,     -- 300
    AVG(COALESCE(bonus, 0)) AS the_same       -- 300
FROM employee;

-- 3. A comparison with null is unknown, and WHERE keeps only what is true: Ben is in neither list.
SELECT name FROM employee WHERE bonus > 100;
SELECT name FROM employee WHERE NOT bonus > 100;

--    IS DISTINCT FROM treats null as one more value: Ben differs from 100.
SELECT name FROM employee WHERE bonus IS DISTINCT FROM 100;

-- 4. CHECK passes unless its condition is false. A check on a nullable column lets null through, so
--    say NOT NULL as well where it must not.
ALTER TABLE employee ADD CONSTRAINT bonus_not_negative CHECK (bonus >= 0);

-- 5. An outer join turns into an inner one when WHERE tests the optional side. The condition on the
--    optional side belongs into ON.
SELECT m.name, r.name AS report
FROM employee AS m
LEFT JOIN employee AS r ON r.manager_id = m.id AND r.bonus > 0
ORDER BY m.name;

-- 6. SUM over no rows is null, COUNT over no rows is 0.
SELECT COALESCE(SUM(bonus), 0) AS total, COUNT(*) AS rows_seen
FROM employee
WHERE name = 'nobody';

-- 7. Nulls sort last in ascending order here and in Oracle, first in MySQL, SQLite and SQL Server.
SELECT name, bonus FROM employee ORDER BY bonus DESC NULLS LAST, name;

-- 8. UNIQUE allows many nulls, as no two of them are equal; PostgreSQL 15 can be told otherwise with
--    UNIQUE NULLS NOT DISTINCT. GROUP BY and DISTINCT, however, put all nulls together.
SELECT manager_id, COUNT(*) AS reports FROM employee GROUP BY manager_id ORDER BY manager_id;

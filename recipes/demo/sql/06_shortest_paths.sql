-- dialect: postgres
-- Shortest paths in a small railway network, with nothing but a recursive query.
--
-- SQL is no graph engine, yet for some thousand edges this is often enough and saves an export.

CREATE TABLE track (
    origin      TEXT NOT NULL,
    destination TEXT NOT NULL,
    minutes     INTEGER NOT NULL CHECK (minutes > 0),
    PRIMARY KEY (origin, destination)
);

INSERT INTO track (origin, destination, minutes) VALUES
    ('Bern', 'Zurich', 56), ('Bern', 'Basel', 55), ('Basel', 'Zurich', 53),
    ('Zurich', 'Chur', 74), ('Bern', 'Visp', 54), ('Visp', 'Zermatt', 64),
    ('Zurich', 'St. Gallen', 63), ('Bern', 'Lausanne', 66), ('Lausanne', 'Geneva', 36);

-- Trains run both ways.
CREATE VIEW link AS
SELECT origin, destination, minutes FROM track
UNION ALL
SELECT destination, origin, minutes FROM track;

-- All simple paths from Geneva, then the quickest to each town. The array of visited towns keeps the
-- walk from turning in circles; without it the recursion would not end.
WITH RECURSIVE journey AS (
    SELECT
        destination AS town,
        minutes,
        ARRAY[origin, destination] AS visited
    FROM link
    WHERE origin = 'Geneva'

    UNION ALL

    SELECT
        l.destination,
        j.minutes + l.minutes,
        j.visited || l.destination
    FROM journey AS j
    JOIN link AS l ON l.origin = j.town
    WHERE NOT l.destination = ANY(j.visited)
)
SELECT DISTINCT ON (town)
    town,
    minutes,
    ARRAY_TO_STRING(visited, ' - ') AS route
FROM journey
ORDER BY town, minutes;

-- Which towns would be cut off from Geneva without Bern? Reachability with and without the node:
-- a town that is only in the first set depends on it (Bern is an articulation point).
WITH RECURSIVE reached AS (
    SELECT 'Geneva' AS town
    UNION
    SELECT l.destination
    FROM reached AS r
    JOIN link AS l ON l.origin = r.town
    WHERE l.destination <> 'Bern'
)
SELECT DISTINCT l.destination AS cut_off
FROM link AS l
WHERE l.destination <> 'Bern'
  AND l.destination NOT IN (SELECT town FROM reached)
ORDER BY cut_off;

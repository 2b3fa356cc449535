-- dialect: postgres
-- Trees in SQL: recursive common table expressions over an adjacency list.

CREATE TABLE part (
    part_id   INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,
    unit_cost NUMERIC(10, 2)   -- null for assemblies, whose cost follows from their parts
);

CREATE TABLE component (
    assembly_id INTEGER NOT NULL REFERENCES part (part_id),
    part_id     INTEGER NOT NULL REFERENCES part (part_id),
    quantity    INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (assembly_id, part_id)
);

-- Bill of materials: how many of each basic part go into one bicycle (part 1)? Quantities multiply
-- along a path and add up over paths, which is why the sum stands outside the recursion.
WITH RECURSIVE exploded AS (
    SELECT part_id, quantity, 1 AS depth
    FROM component
    WHERE assembly_id = 1

    UNION ALL

    SELECT c.part_id, e.quantity * c.quantity, e.depth + 1
    FROM exploded AS e
    JOIN component AS c ON c.assembly_id = e.part_id
    WHERE e.depth < 20   -- a safety net: a cycle in the data would otherwise never end
)
SELECT p.name, SUM(e.quantity) AS needed, SUM(e.quantity * p.unit_cost) AS cost
FROM exploded AS e
JOIN part AS p ON p.part_id = e.part_id
WHERE p.unit_cost IS NOT NULL
GROUP BY p.name
ORDER BY cost DESC;

-- Where is part 42 used, directly or not? The same recursion, upwards. UNION instead of UNION ALL
-- drops rows already seen, so a part reached over two paths is listed once and cycles end.
WITH RECURSIVE users AS (
    SELECT assembly_id FROM component WHERE part_id = 42
    UNION
    SELECT c.assembly_id
    FROM users AS u
    JOIN component AS c ON c.part_id = u.assembly_id
)
SELECT p.part_id, p.name
FROM users AS u
JOIN part AS p ON p.part_id = u.assembly_id
ORDER BY p.name;

-- The tree as an indented list: the path of names sorts children below their parent.
WITH RECURSIVE tree AS (
    SELECT part_id, name, 0 AS depth, CAST(name AS TEXT) AS path
    FROM part
    WHERE part_id NOT IN (SELECT part_id FROM component)

    UNION ALL

    SELECT p.part_id, p.name, t.depth + 1, t.path || ' > ' || p.name
    FROM tree AS t
    JOIN component AS c ON c.assembly_id = t.part_id
    JOIN part AS p ON p.part_id = c.part_id
)
SELECT REPEAT('    ', depth) || name AS outline
FROM tree
ORDER BY path;

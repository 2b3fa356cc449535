-- dialect: postgres
-- A lending library: the questions that the desk asks every day.

-- 1. Which works can a member take home now? A work counts when at least one copy is on the shelf.
SELECT
    w.work_id,
    w.title,
    COUNT(*) AS copies,
    COUNT(*) FILTER (WHERE l.loan_id IS NULL) AS on_shelf
FROM work AS w
JOIN edition AS e ON e.work_id = w.work_id
JOIN copy AS c ON c.isbn = e.isbn AND c.withdrawn IS NULL
LEFT JOIN loan AS l ON l.barcode = c.barcode AND l.returned_at IS NULL
GROUP BY w.work_id, w.title
HAVING COUNT(*) FILTER (WHERE l.loan_id IS NULL) > 0
ORDER BY w.title;

-- 2. Overdue loans, the longest first, with the fine so far: 20 cents a day, at most 10 euros.
SELECT
    m.full_name,
    m.email,
    w.title,
    l.due_at,
    CURRENT_DATE - CAST(l.due_at AS DATE) AS days_late,
    LEAST(0.20 * (CURRENT_DATE - CAST(l.due_at AS DATE)), 10.00) AS fine_eur
FROM loan AS l
JOIN member AS m ON m.member_id = l.member_id
JOIN copy AS c ON c.barcode = l.barcode
JOIN edition AS e ON e.isbn = c.isbn
JOIN work AS w ON w.work_id = e.work_id
WHERE l.returned_at IS NULL AND l.due_at < CURRENT_TIMESTAMP
ORDER BY days_late DESC, m.full_name;

-- 3. Works by two named authors together. Grouping by work and counting distinct authors is
--    relational division: it needs no self-join per author.
SELECT w.work_id, w.title
FROM work AS w
JOIN work_author AS wa ON wa.work_id = w.work_id
JOIN author AS a ON a.author_id = wa.author_id
WHERE a.full_name IN ('Terry Pratchett', 'Neil Gaiman')
GROUP BY w.work_id, w.title
HAVING COUNT(DISTINCT a.full_name) = 2;

-- 4. Members who joined last year and never borrowed anything: an anti-join.
SELECT m.member_id, m.full_name, m.joined
FROM member AS m
WHERE m.joined >= DATE '2023-01-01'
  AND m.joined < DATE '2024-01-01'
  AND NOT EXISTS (SELECT 1 FROM loan AS l WHERE l.member_id = m.member_id)
ORDER BY m.joined;

-- 5. For each member, the last three works borrowed.
SELECT m.full_name, recent.title, recent.lent_at
FROM member AS m
CROSS JOIN LATERAL (
    SELECT w.title, l.lent_at
    FROM loan AS l
    JOIN copy AS c ON c.barcode = l.barcode
    JOIN edition AS e ON e.isbn = c.isbn
    JOIN work AS w ON w.work_id = e.work_id
    WHERE l.member_id = m.member_id
    ORDER BY l.lent_at DESC
    LIMIT 3
) AS recent
ORDER BY m.full_name, recent.lent_at DESC;

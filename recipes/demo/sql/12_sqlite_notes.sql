-- dialect: sqlite
-- Notes with tags and a change history in one SQLite file.
--
-- Foreign keys are off in SQLite unless each connection turns them on. WAL lets readers go on
-- while one writer writes.
PRAGMA foreign_keys = ON;
PRAGMA journal_mode = WAL;

CREATE TABLE note (
    id      INTEGER PRIMARY KEY,          -- an alias of the rowid: no second index
    title   TEXT NOT NULL,
    body    TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL DEFAULT (DATETIME('now')),
    changed TEXT NOT NULL DEFAULT (DATETIME('now'))
);

CREATE TABLE tag (
    note_id INTEGER NOT NULL REFERENCES note (id) ON DELETE CASCADE,
    tag     TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (note_id, tag)
) WITHOUT ROWID;

CREATE INDEX tag_by_name ON tag (tag, note_id);

CREATE TABLE revision (
    note_id INTEGER NOT NULL REFERENCES note (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    body    TEXT NOT NULL,
    saved   TEXT NOT NULL DEFAULT (DATETIME('now')),
    PRIMARY KEY (note_id, number)
) WITHOUT ROWID;

-- Notes that carry all of three tags.
SELECT n.id, n.title
FROM note AS n
JOIN tag AS t ON t.note_id = n.id
WHERE t.tag IN ('sql', 'draft', 'work')
GROUP BY n.id
HAVING COUNT(*) = 3;

-- Tags that often stand together: pairs are counted once because a.tag < b.tag.
SELECT a.tag, b.tag AS with_tag, COUNT(*) AS notes
FROM tag AS a
JOIN tag AS b ON b.note_id = a.note_id AND a.tag < b.tag
GROUP BY a.tag, b.tag
HAVING COUNT(*) >= 2
ORDER BY notes DESC, a.tag, b.tag;

-- Notes a month. Dates are text in ISO order, so they compare and sort as they should.
SELECT STRFTIME('%Y-%m', created) AS month, COUNT(*) AS notes, SUM(LENGTH(body)) AS characters
FROM note
GROUP BY month
ORDER BY month;

-- The newest revision of each note and how much shorter or longer it made the text. A bare column
-- beside MAX() takes its value from the row of the maximum: a promise of SQLite's alone.
SELECT r.note_id, MAX(r.number) AS newest, r.saved, LENGTH(n.body) - LENGTH(r.body) AS growth
FROM revision AS r
JOIN note AS n ON n.id = r.note_id
GROUP BY r.note_id;

-- Copy the notes of one tag into a second database file, with their tags.
ATTACH DATABASE 'export.db' AS export;
CREATE TABLE export.note AS
SELECT n.* FROM note AS n JOIN tag AS t ON t.note_id = n.id WHERE t.tag = 'public';

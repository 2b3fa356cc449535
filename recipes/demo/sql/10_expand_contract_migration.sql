-- dialect: postgres
-- A migration without downtime: split person.name into given and family name.
--
-- Old and new releases of the application run side by side during a deployment, so every step must
-- suit both. The pattern is expand, backfill, switch, contract; each block is its own release.

-- Release 1, expand. A nullable column without a default is a change of the catalogue only, so it
-- takes its lock for a moment and rewrites nothing.
ALTER TABLE person ADD COLUMN given_name TEXT;
ALTER TABLE person ADD COLUMN family_name TEXT;

-- Release 2, the application writes both forms. Then the backfill, in batches: one statement over
-- all rows would hold its row locks until the end and bloat the table to twice its size.
-- Run it until it reports UPDATE 0.
UPDATE person
SET
    given_name = SPLIT_PART(name, ' ', 1),
    family_name = NULLIF(SUBSTRING(name FROM POSITION(' ' IN name) + 1), name)
WHERE person_id IN (
    SELECT person_id
    FROM person
    WHERE given_name IS NULL AND name IS NOT NULL
    ORDER BY person_id
    LIMIT 5000
);

-- Names are not as simple as the statement above believes. These are for people to look at:
SELECT person_id, name
FROM person
WHERE name LIKE '% % %' OR name NOT LIKE '% %'
ORDER BY person_id
LIMIT 100;

-- Release 3, the application reads the new columns. NOT NULL in two steps: a check that is not
-- validated holds for new rows at once; validating it later reads the table without blocking writes.
ALTER TABLE person ADD CONSTRAINT given_name_present CHECK (given_name IS NOT NULL) NOT VALID;
ALTER TABLE person VALIDATE CONSTRAINT given_name_present;
ALTER TABLE person ALTER COLUMN given_name SET NOT NULL;
ALTER TABLE person DROP CONSTRAINT given_name_present;

CREATE INDEX CONCURRENTLY person_by_family_name ON person (family_name, given_name);

-- Release 4, contract: nothing reads or writes the old column any more. A view keeps old reports.
ALTER TABLE person DROP COLUMN name;

CREATE VIEW person_with_name AS
SELECT
    person_id,
    given_name,
    family_name,
    CONCAT_WS(' ', given_name, family_name) AS name
FROM person;

-- dialect: postgres
-- A lending library: the schema.
--
-- A work is what an author wrote, an edition is what a publisher printed, and a copy is what stands
-- on a shelf and can be lent. Keeping the three apart is what lets one reservation be filled by any
-- copy of any edition of a work.

CREATE TABLE work (
    work_id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title       TEXT NOT NULL CHECK (title <> ''),
    first_year  INTEGER CHECK (first_year BETWEEN -3000 AND 2100),
    language    CHAR(2) NOT NULL DEFAULT 'en'
);

CREATE TABLE author (
    author_id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    full_name   TEXT NOT NULL,
    born        DATE,
    died        DATE,
    CHECK (died IS NULL OR born IS NULL OR died >= born)
);

-- position keeps the order on the title page: it is part of the citation
CREATE TABLE work_author (
    work_id     BIGINT NOT NULL REFERENCES work (work_id) ON DELETE CASCADE,
    author_id   BIGINT NOT NULL REFERENCES author (author_id),
    position    SMALLINT NOT NULL CHECK (position > 0),
    PRIMARY KEY (work_id, author_id),
    UNIQUE (work_id, position)
);

CREATE TABLE edition (
    isbn        CHAR(13) PRIMARY KEY,
    work_id     BIGINT NOT NULL REFERENCES work (work_id),
    publisher   TEXT NOT NULL,
    published   DATE,
    pages       INTEGER CHECK (pages > 0)
);

CREATE TABLE copy (
    barcode     VARCHAR(14) PRIMARY KEY,
    isbn        CHAR(13) NOT NULL REFERENCES edition (isbn),
    shelf       VARCHAR(12) NOT NULL,
    acquired    DATE NOT NULL DEFAULT CURRENT_DATE,
    withdrawn   DATE
);

CREATE TABLE member (
    member_id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    full_name   TEXT NOT NULL,
    email       TEXT NOT NULL UNIQUE,
    joined      DATE NOT NULL DEFAULT CURRENT_DATE
);

CREATE TABLE loan (
    loan_id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    barcode     VARCHAR(14) NOT NULL REFERENCES copy (barcode),
    member_id   BIGINT NOT NULL REFERENCES member (member_id),
    lent_at     TIMESTAMP NOT NULL,
    due_at      TIMESTAMP NOT NULL,
    returned_at TIMESTAMP,
    CHECK (due_at > lent_at),
    CHECK (returned_at IS NULL OR returned_at >= lent_at)
);

-- a copy can be out only once at a time; a partial unique index says so better than a trigger
CREATE UNIQUE INDEX loan_one_open ON loan (barcode) WHERE returned_at IS NULL;
CREATE INDEX loan_by_member ON loan (member_id, lent_at DESC);

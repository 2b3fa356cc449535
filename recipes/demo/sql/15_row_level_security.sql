-- dialect: postgres
-- One database for many tenants, kept apart by row-level security and least privilege.

CREATE TABLE tenant (
    tenant_id INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE
);

CREATE TABLE ticket (
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    ticket_no INTEGER NOT NULL,
    subject   TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waiting', 'closed')),
    opened_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    closed_at TIMESTAMPTZ,
    -- the tenant leads the key: all of a tenant's rows are neighbours in the index
    PRIMARY KEY (tenant_id, ticket_no),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);

CREATE TABLE message (
    tenant_id INTEGER NOT NULL,
    ticket_no INTEGER NOT NULL,
    message_no INTEGER NOT NULL,
    author    TEXT NOT NULL,
    body      TEXT NOT NULL,
    sent_at   TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (tenant_id, ticket_no, message_no),
    -- a composite reference: a message cannot belong to another tenant's ticket
    FOREIGN KEY (tenant_id, ticket_no) REFERENCES ticket (tenant_id, ticket_no) ON DELETE CASCADE
);

-- The connection pool sets app.tenant at the start of each transaction. The second argument of
-- CURRENT_SETTING makes it null when it is not set, and null matches no row: closed by default.
ALTER TABLE ticket ENABLE ROW LEVEL SECURITY;
ALTER TABLE message ENABLE ROW LEVEL SECURITY;

CREATE POLICY ticket_of_tenant ON ticket
    USING (tenant_id = CAST(CURRENT_SETTING('app.tenant', TRUE) AS INTEGER));

CREATE POLICY message_of_tenant ON message
    USING (tenant_id = CAST(CURRENT_SETTING('app.tenant', TRUE) AS INTEGER));

GRANT SELECT, INSERT, UPDATE ON ticket TO support_agent;
GRANT SELECT, INSERT ON message TO support_agent;

-- Time to the first answer, by week, for the tenant of the session. The policy adds the condition on
-- the tenant by itself; the query cannot forget it.
SELECT
    DATE_TRUNC('week', t.opened_at) AS week,
    COUNT(*) AS tickets,
    PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY answered.sent_at - t.opened_at) AS median_wait,
    PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY answered.sent_at - t.opened_at) AS slow_wait
FROM ticket AS t
JOIN LATERAL (
    SELECT MIN(m.sent_at) AS sent_at
    FROM message AS m
    WHERE m.tenant_id = t.tenant_id AND m.ticket_no = t.ticket_no AND m.author LIKE '%@support'
) AS answered ON TRUE
GROUP BY week
ORDER BY week;

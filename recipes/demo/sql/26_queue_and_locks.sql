-- dialect: postgres
-- A job queue in a table: exactly one worker per job, no lost jobs, no double work.

CREATE TABLE job (
    job_id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         TEXT NOT NULL,
    payload      JSONB NOT NULL,
    run_after    TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    attempts     INTEGER NOT NULL DEFAULT 0,
    locked_by    TEXT,
    locked_until TIMESTAMPTZ,
    done_at      TIMESTAMPTZ,
    last_error   TEXT
);

-- Workers look only at jobs that are not done; the index holds nothing else, so it stays small however
-- many jobs have been done.
CREATE INDEX job_waiting ON job (run_after, job_id) WHERE done_at IS NULL;

-- Take one job. SKIP LOCKED passes over rows that another worker holds instead of waiting for them.
-- The lease (locked_until) returns the job to the queue when a worker dies.
UPDATE job
SET
    locked_by = 'worker-3',
    locked_until = NOW() + INTERVAL '5 minutes',
    attempts = attempts + 1
WHERE job_id = (
    SELECT job_id
    FROM job
    WHERE done_at IS NULL
      AND run_after <= NOW()
      AND (locked_until IS NULL OR locked_until < NOW())
    ORDER BY run_after, job_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING job_id, kind, payload, attempts;

-- Done. The condition on locked_by matters: a worker that was slow and lost its lease must not close
-- a job that another one is running now. No row returned means exactly that.
UPDATE job
SET done_at = NOW(), locked_by = NULL, locked_until = NULL
WHERE job_id = 4711 AND locked_by = 'worker-3'
RETURNING job_id;

-- Failed: try again later, twice as late each time, at most eight times.
UPDATE job
SET
    locked_by = NULL,
    locked_until = NULL,
    last_error = 'connection refused',
    run_after = CASE
        WHEN attempts < 8 THEN NOW() + POWER(2, attempts) * INTERVAL '10 seconds'
        ELSE TIMESTAMPTZ 'infinity'
    END
WHERE job_id = 4711 AND locked_by = 'worker-3';

-- The dashboard: depth, age of the oldest, and what needs a person.
SELECT
    kind,
    COUNT(*) FILTER (WHERE run_after <= NOW() AND locked_until IS NULL) AS waiting,
    COUNT(*) FILTER (WHERE locked_until >= NOW()) AS running,
    COUNT(*) FILTER (WHERE run_after = TIMESTAMPTZ 'infinity') AS given_up,
    NOW() - MIN(run_after) FILTER (WHERE run_after <= NOW()) AS oldest_wait
FROM job
WHERE done_at IS NULL
GROUP BY kind
ORDER BY kind;

-- Yesterday's jobs make the table large and nobody asks for them.
DELETE FROM job WHERE done_at < NOW() - INTERVAL '7 days';

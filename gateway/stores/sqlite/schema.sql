-- The newest version, whole; database.py has the steps that bring an older file to it. Money is micro-dollars, time is ms since the epoch (UTC), both whole numbers.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id           TEXT PRIMARY KEY,
    team         TEXT NOT NULL,
    name         TEXT NOT NULL,
    digest       BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    models       TEXT NOT NULL DEFAULT '[]', -- JSON
    endpoints    TEXT NOT NULL DEFAULT '[]', -- JSON
    most_images  INTEGER,
    most_pixels  INTEGER,
    expires_at   INTEGER,
    disabled     INTEGER NOT NULL DEFAULT 0,
    made_by      TEXT NOT NULL DEFAULT '',
    last_used_at INTEGER,
    old_digest   BLOB, -- the secret before the last rotation, good until `old_until`
    old_until    INTEGER,
    requests_per_minute INTEGER,
    images_per_minute   INTEGER,
    images_in_flight    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_team ON keys (team);

CREATE TABLE teams (
    name       TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    disabled   INTEGER NOT NULL DEFAULT 0,
    requests_per_minute INTEGER,
    images_per_minute   INTEGER,
    images_in_flight    INTEGER
) STRICT, WITHOUT ROWID;

-- What a scope (`org`, `team:NAME`, `key:ID`) may spend in each window of that kind.
CREATE TABLE budgets (
    scope  TEXT NOT NULL,
    window TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (scope, window)
) STRICT, WITHOUT ROWID;

-- Counted for every scope and window, with or without a budget, so that one set later knows what was spent before it.
-- A new window is a new row: nothing is ever reset.
CREATE TABLE usage (
    scope  TEXT NOT NULL,
    window TEXT NOT NULL,
    period TEXT NOT NULL,
    spent  INTEGER NOT NULL,
    held   INTEGER NOT NULL,
    PRIMARY KEY (scope, window, period)
) STRICT, WITHOUT ROWID;

-- Append-only. `reserved_at` is the moment whose windows the amount is counted in, whenever the row was written.
CREATE TABLE ledger (
    seq         INTEGER PRIMARY KEY,
    attempt_id  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    key_id      TEXT NOT NULL,
    team        TEXT NOT NULL,
    user        TEXT,
    model       TEXT NOT NULL,
    images      INTEGER NOT NULL,
    unit_price  INTEGER NOT NULL,
    policy      TEXT NOT NULL,
    amount      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    reserved_at INTEGER NOT NULL,
    reason      TEXT, -- of an adjustment
    UNIQUE (attempt_id, kind)
) STRICT;

-- What `usage` should be by the ledger's rows up to the one that `meta` has as `audited`.
CREATE TABLE audit (
    scope  TEXT NOT NULL,
    window TEXT NOT NULL,
    period TEXT NOT NULL,
    spent  INTEGER NOT NULL,
    held   INTEGER NOT NULL,
    PRIMARY KEY (scope, window, period)
) STRICT, WITHOUT ROWID;

-- Until when (µs since the epoch) a scope's images a minute are used up, by GCRA: see core/rate.py.
CREATE TABLE image_rates (
    scope TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_spent ON ledger (at) WHERE kind IN ('settle', 'adjust');

CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    key_id      TEXT NOT NULL,
    team        TEXT NOT NULL,
    user        TEXT,
    order_json  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    detached    INTEGER NOT NULL,
    body_hash   TEXT NOT NULL,
    retry_count INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    status      TEXT NOT NULL, -- kept by the trigger below
    maker       TEXT NOT NULL DEFAULT '', -- the replica that makes it
    source      TEXT NOT NULL DEFAULT 'miss',
    leader      TEXT REFERENCES jobs (id) ON DELETE CASCADE, -- the job whose attempts make its pictures
    scope       TEXT, -- with the fingerprint, what equal orders are known by
    fingerprint TEXT,
    idempotency TEXT,
    used_at     INTEGER NOT NULL DEFAULT 0 -- made, followed or asked for
) STRICT;

CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_team ON jobs (team, created_at);
CREATE INDEX jobs_by_status ON jobs (status, created_at);
CREATE INDEX jobs_by_body ON jobs (key_id, body_hash, created_at);
CREATE INDEX jobs_by_idempotency ON jobs (key_id, idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX jobs_by_leader ON jobs (leader) WHERE leader IS NOT NULL;
CREATE INDEX jobs_by_use ON jobs (used_at) WHERE leader IS NULL;
CREATE INDEX followers_by_use ON jobs (used_at) WHERE leader IS NOT NULL;

CREATE TABLE attempts (
    id           TEXT PRIMARY KEY,
    job_id       TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    part         INTEGER NOT NULL,
    provider     TEXT NOT NULL,
    images       INTEGER NOT NULL,
    seed         INTEGER NOT NULL,
    held         INTEGER NOT NULL,
    reserved_at  INTEGER NOT NULL,
    state        TEXT NOT NULL DEFAULT 'reserved',
    upstream_id  TEXT,
    submitted_at INTEGER,
    ended_at     INTEGER,
    pictures     TEXT NOT NULL DEFAULT '[]', -- JSON
    cost         INTEGER NOT NULL DEFAULT 0,
    failure      TEXT NOT NULL DEFAULT 'null', -- JSON
    price        INTEGER, -- an image, where it is not its order's
    passed       TEXT NOT NULL DEFAULT '[]', -- JSON
    worker       TEXT, -- who has claimed it
    claimed_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_job ON attempts (job_id, part);
CREATE INDEX attempts_submitted ON attempts (submitted_at) WHERE state IN ('submitting', 'submitted');
CREATE INDEX attempts_unconfirmed ON attempts (submitted_at) WHERE state = 'unconfirmed';

-- The rule of core.job.Job.status, kept in a column so that a list by status need not read every job there is.
CREATE TRIGGER status_of_job AFTER UPDATE OF state ON attempts BEGIN
    UPDATE jobs SET status = (
        SELECT CASE
            WHEN max(state IN ('reserved', 'submitting', 'submitted')) = 0
                THEN iif(max(pictures <> '[]'), 'completed', 'failed')
            WHEN min(state = 'reserved') THEN 'queued'
            ELSE 'processing'
        END
        FROM attempts WHERE job_id = NEW.job_id
    )
    WHERE id = NEW.job_id OR leader = NEW.job_id;
END;

-- Which retry (by its count) has been given which job: each job once per count.
CREATE TABLE adoptions (
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    retry_count INTEGER NOT NULL,
    PRIMARY KEY (job_id, retry_count)
) STRICT, WITHOUT ROWID;

-- Attempts that were refused before they had a job, and whose retry is expected until then.
CREATE TABLE refusals (
    key_id      TEXT NOT NULL,
    body_hash   TEXT NOT NULL,
    retry_count INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    until       INTEGER NOT NULL
) STRICT;

CREATE INDEX refusals_by_body ON refusals (key_id, body_hash, at);
CREATE INDEX refusals_by_end ON refusals (until);

-- The job that answers for equal orders, made or being made.
CREATE TABLE cached (
    scope       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    hits        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE INDEX cached_by_job ON cached (job_id);

-- What followers of other jobs did not pay.
CREATE TABLE saved (
    day    TEXT NOT NULL,
    team   TEXT NOT NULL,
    model  TEXT NOT NULL,
    images INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (day, team, model)
) STRICT, WITHOUT ROWID;

-- Pieces of work for GPU workers (ports/queue.py); `piece`, `pictures` and `partials` (by their indexes) are JSON.
CREATE TABLE pieces (
    seq       INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    team      TEXT NOT NULL,
    line      TEXT NOT NULL,
    operation TEXT NOT NULL,
    pixels    INTEGER NOT NULL,
    refs      INTEGER NOT NULL,
    images    INTEGER NOT NULL,
    tokens    INTEGER NOT NULL,
    batch     TEXT,
    queued_at INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    piece     TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT 'queued',
    claim     TEXT,
    worker    TEXT,
    until     INTEGER,
    delivery  INTEGER NOT NULL DEFAULT 0,
    step      INTEGER NOT NULL DEFAULT 0,
    of        INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    pictures  TEXT NOT NULL DEFAULT '[]',
    seconds   TEXT NOT NULL DEFAULT '0',
    failure   TEXT,
    message   TEXT NOT NULL DEFAULT '',
    mask      INTEGER NOT NULL DEFAULT 0,
    partials  TEXT NOT NULL DEFAULT '{}',
    claimed_at INTEGER
) STRICT;

CREATE INDEX pieces_waiting ON pieces (line, team, seq, queued_at) WHERE state = 'queued';
CREATE INDEX pieces_of_batch ON pieces (line, batch, team, seq) WHERE state = 'queued';
CREATE INDEX pieces_by_deadline ON pieces (deadline) WHERE state = 'queued';
CREATE INDEX pieces_ended ON pieces (deadline) WHERE state IN ('finished', 'failed');
CREATE INDEX pieces_by_lease ON pieces (until) WHERE state = 'claimed';
CREATE INDEX pieces_by_claim ON pieces (claim) WHERE state = 'claimed';

-- Which team was given a piece of a line when, counted by pieces.
CREATE TABLE turns (
    line TEXT NOT NULL,
    team TEXT NOT NULL,
    turn INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (line, team)
) STRICT, WITHOUT ROWID;

CREATE INDEX turns_by_turn ON turns (turn);

-- The workers that live until then; `presence` is JSON.
CREATE TABLE workers (id TEXT PRIMARY KEY, presence TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- By which workers are known; only a digest of the secret is kept.
CREATE TABLE worker_tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

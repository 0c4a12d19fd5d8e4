"""Opening the one SQLite connection: private file, exclusive lock, full durability, known schema."""

import os
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import apsw

from gateway.ports import StoreDown
from gateway.stores.sqlite.known import Known

#: The step from version 1 to 2, from 2 to 3, and so on. What was released is never edited: files have taken it.
_STEPS = (
    """
    ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE keys ADD COLUMN endpoints TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE keys ADD COLUMN most_images INTEGER;
    ALTER TABLE keys ADD COLUMN most_pixels INTEGER;
    ALTER TABLE keys ADD COLUMN expires_at INTEGER;
    ALTER TABLE keys ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE keys ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE keys ADD COLUMN last_used_at INTEGER;
    ALTER TABLE keys ADD COLUMN old_digest BLOB;
    ALTER TABLE keys ADD COLUMN old_until INTEGER;
    ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER;
    ALTER TABLE keys ADD COLUMN images_per_minute INTEGER;
    ALTER TABLE keys ADD COLUMN images_in_flight INTEGER;
    CREATE TABLE teams (
        name       TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        disabled   INTEGER NOT NULL DEFAULT 0,
        requests_per_minute INTEGER,
        images_per_minute   INTEGER,
        images_in_flight    INTEGER
    ) STRICT, WITHOUT ROWID;
    INSERT INTO teams (name, created_at) SELECT team, min(created_at) FROM keys GROUP BY team;
    ALTER TABLE jobs ADD COLUMN maker TEXT NOT NULL DEFAULT '';
    ALTER TABLE ledger ADD COLUMN reason TEXT;
    DROP INDEX ledger_settled;
    CREATE INDEX ledger_spent ON ledger (at) WHERE kind IN ('settle', 'adjust');
    CREATE TABLE image_rates (scope TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN source TEXT NOT NULL DEFAULT 'miss';
    ALTER TABLE jobs ADD COLUMN leader TEXT REFERENCES jobs (id) ON DELETE CASCADE;
    ALTER TABLE jobs ADD COLUMN scope TEXT;
    ALTER TABLE jobs ADD COLUMN fingerprint TEXT;
    ALTER TABLE jobs ADD COLUMN idempotency TEXT;
    ALTER TABLE jobs ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET used_at = created_at;
    CREATE INDEX jobs_by_idempotency ON jobs (key_id, idempotency) WHERE idempotency IS NOT NULL;
    CREATE INDEX jobs_by_leader ON jobs (leader) WHERE leader IS NOT NULL;
    CREATE INDEX jobs_by_use ON jobs (used_at) WHERE leader IS NULL;
    CREATE INDEX followers_by_use ON jobs (used_at) WHERE leader IS NOT NULL;
    CREATE TABLE cached (
        scope       TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        hits        INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (scope, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX cached_by_job ON cached (job_id);
    CREATE TABLE saved (
        day    TEXT NOT NULL,
        team   TEXT NOT NULL,
        model  TEXT NOT NULL,
        images INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        PRIMARY KEY (day, team, model)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE refusals (
        key_id      TEXT NOT NULL,
        body_hash   TEXT NOT NULL,
        retry_count INTEGER NOT NULL,
        at          INTEGER NOT NULL,
        until       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX refusals_by_body ON refusals (key_id, body_hash, at);
    CREATE INDEX refusals_by_end ON refusals (until);
    DROP TRIGGER status_of_job;
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
    """,
    """
    CREATE TABLE pieces (
        seq       INTEGER PRIMARY KEY,
        id        TEXT NOT NULL UNIQUE,
        team      TEXT NOT NULL,
        model     TEXT NOT NULL,
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
        message   TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX pieces_waiting ON pieces (model, team, seq, queued_at) WHERE state = 'queued';
    CREATE INDEX pieces_of_batch ON pieces (batch, team, seq) WHERE state = 'queued';
    CREATE INDEX pieces_by_deadline ON pieces (deadline) WHERE state = 'queued';
    CREATE INDEX pieces_ended ON pieces (deadline) WHERE state IN ('finished', 'failed');
    CREATE INDEX pieces_by_lease ON pieces (until) WHERE state = 'claimed';
    CREATE INDEX pieces_by_claim ON pieces (claim) WHERE state = 'claimed';
    CREATE TABLE turns (
        model TEXT NOT NULL,
        team  TEXT NOT NULL,
        turn  INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (model, team)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX turns_by_turn ON turns (turn);
    CREATE TABLE workers (id TEXT PRIMARY KEY, presence TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE attempts ADD COLUMN price INTEGER;
    ALTER TABLE attempts ADD COLUMN passed TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE pieces RENAME COLUMN model TO line;
    ALTER TABLE pieces ADD COLUMN mask INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE pieces ADD COLUMN partials TEXT NOT NULL DEFAULT '{}';
    DROP INDEX pieces_of_batch;
    CREATE INDEX pieces_of_batch ON pieces (line, batch, team, seq) WHERE state = 'queued';
    ALTER TABLE turns RENAME COLUMN model TO line;
    CREATE TABLE worker_tokens (
        id         TEXT PRIMARY KEY,
        name       TEXT NOT NULL,
        digest     BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        revoked_at INTEGER
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE attempts ADD COLUMN worker TEXT;
    ALTER TABLE attempts ADD COLUMN claimed_at INTEGER;
    ALTER TABLE pieces ADD COLUMN claimed_at INTEGER;
    """,
)
SCHEMA_VERSION = 1 + len(_STEPS)

# The lock is taken before WAL is entered, so that the index of the WAL lives in our memory and no other process can
# write: two writers are what the WAL-reset corruption bug needs (SQLite up to 3.51.2), and are slow besides.
_DURABLE = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
BEGIN EXCLUSIVE; COMMIT;
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON; -- on macOS a plain fsync leaves the data in the drive's cache
PRAGMA foreign_keys = ON;
"""


class Database(apsw.Connection):
    """The connection, and what is known of its file without reading it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.known = Known()


def open_database(path: Path, lock_wait: float) -> Database:
    """Open or create the file, waiting `lock_wait` seconds for another process to let go of it.

    Raises StoreDown, naming the file.
    """
    try:
        _create_private(path)
        db = Database(str(path))
        try:
            db.set_busy_timeout(int(lock_wait * 1000))
            db.execute(_DURABLE).fetchall()
            _bring_schema(db, path)
        except BaseException:
            db.close()
            raise
    except apsw.BusyError as error:
        message = f"{path} is in use by another imagegate process: its lock was not free within {lock_wait:g} s"
        raise StoreDown(message) from error
    except (apsw.Error, OSError) as error:
        raise StoreDown(f"{path} cannot be opened: {error}") from error
    return db


def _create_private(path: Path) -> None:
    """Make a missing file ourselves, for its mode; SQLite gives the files beside it the same one.

    An existing file is not opened: closing it again would drop every lock that this process holds on it (POSIX). What root
    makes is the directory's owner's, as SQLite does with the files beside it: an `imagegate keys create` before the first
    start must not leave a store that the gateway cannot open.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            with suppress(OSError):  # root of a container that may give nothing away
                os.fchown(made, owner.st_uid, owner.st_gid)
    finally:
        os.close(made)


def _bring_schema(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise StoreDown(
            f"{path} was written by a newer imagegate (schema {version}; this one knows up to {SCHEMA_VERSION})"
        )
    if version == SCHEMA_VERSION:
        return
    with db:  # all of the steps and the new number, or nothing
        if version == 0:
            db.execute(files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))
        else:
            for step in _STEPS[version - 1 :]:
                db.execute(step)
        db.pragma("user_version", SCHEMA_VERSION)

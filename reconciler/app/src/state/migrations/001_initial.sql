-- Version 1. Times are microseconds since 1970 UTC; hashes are 32 bytes; keys are memcomparable bytes; rows are JSON text.

CREATE TABLE berqenas_state (version INTEGER NOT NULL) STRICT;

-- The token never goes down and its line never goes away: that is what fences off a run that lost its lease.
CREATE TABLE leases (
    sync   TEXT PRIMARY KEY,
    token  INTEGER NOT NULL,
    holder TEXT,
    since  INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    ttl    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sides (
    sync          TEXT NOT NULL,
    side          TEXT NOT NULL CHECK (side IN ('cloud', 'local')),
    database_id   TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    pending_epoch INTEGER,
    clock         INTEGER NOT NULL,
    our_clock     INTEGER NOT NULL,
    PRIMARY KEY (sync, side)
) STRICT, WITHOUT ROWID;

-- Which tables each sync ties together: the syncs of one state must form a forest over them.
CREATE TABLE table_pairs (
    sync           TEXT NOT NULL,
    table_name     TEXT NOT NULL,
    cloud_database TEXT NOT NULL,
    cloud_table    TEXT NOT NULL,
    local_database TEXT NOT NULL,
    local_table    TEXT NOT NULL,
    PRIMARY KEY (sync, table_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE table_states (
    sync            TEXT NOT NULL,
    table_name      TEXT NOT NULL,
    adopted         INTEGER NOT NULL CHECK (adopted IN (0, 1)),
    mapping_version TEXT NOT NULL,
    columns         TEXT NOT NULL,
    last_full       INTEGER,
    PRIMARY KEY (sync, table_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
    sync       TEXT NOT NULL,
    table_name TEXT NOT NULL,
    side       TEXT NOT NULL CHECK (side IN ('cloud', 'local')),
    mark       INTEGER NOT NULL,
    PRIMARY KEY (sync, table_name, side)
) STRICT, WITHOUT ROWID;

CREATE TABLE mappings (
    sync       TEXT NOT NULL,
    table_name TEXT NOT NULL,
    version    TEXT NOT NULL,
    columns    TEXT NOT NULL,
    PRIMARY KEY (sync, table_name, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE base (
    sync       TEXT NOT NULL,
    table_name TEXT NOT NULL,
    key        BLOB NOT NULL,
    cloud_hash BLOB CHECK (length(cloud_hash) = 32),
    local_hash BLOB CHECK (length(local_hash) = 32),
    deleted    INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    version    TEXT NOT NULL,
    run        TEXT NOT NULL,
    cloud_row  TEXT,
    local_row  TEXT,
    PRIMARY KEY (sync, table_name, key),
    CHECK ((cloud_row IS NULL) = (local_row IS NULL))
) STRICT, WITHOUT ROWID;

-- By database, not by sync: two syncs that share a database share what is known of its rows.
CREATE TABLE origins (
    database_id TEXT NOT NULL,
    table_name  TEXT NOT NULL,
    key         BLOB NOT NULL,
    stamp       INTEGER NOT NULL,
    origin_time INTEGER NOT NULL,
    PRIMARY KEY (database_id, table_name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE pending (
    sync       TEXT NOT NULL,
    table_name TEXT NOT NULL,
    key        BLOB NOT NULL,
    reason     TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (sync, table_name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    sync         TEXT NOT NULL,
    table_name   TEXT NOT NULL,
    key          BLOB NOT NULL,
    key_json     TEXT NOT NULL,
    side         TEXT NOT NULL CHECK (side IN ('cloud', 'local')),
    message      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    cloud_hash   BLOB CHECK (length(cloud_hash) = 32),
    local_hash   BLOB CHECK (length(local_hash) = 32),
    since        INTEGER NOT NULL,
    PRIMARY KEY (sync, table_name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE conflicts (
    id         TEXT NOT NULL,
    sync       TEXT NOT NULL,
    sync_id    TEXT NOT NULL,
    time       INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    key        BLOB NOT NULL,
    key_json   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    strategy   TEXT NOT NULL,
    winner     TEXT NOT NULL CHECK (winner IN ('cloud', 'local', 'merged', 'none')),
    status     TEXT NOT NULL CHECK (status IN ('resolved', 'pending', 'closed')),
    state      TEXT NOT NULL CHECK (state IN ('decided', 'applied', 'refused')),
    reason     TEXT NOT NULL,
    cloud_row  TEXT,
    local_row  TEXT,
    base_row   TEXT,
    cloud_hash BLOB CHECK (length(cloud_hash) = 32),
    local_hash BLOB CHECK (length(local_hash) = 32),
    PRIMARY KEY (sync, id)
) STRICT;
CREATE INDEX conflicts_by_time ON conflicts (time, id);
CREATE INDEX conflicts_by_status ON conflicts (sync, status);
CREATE INDEX conflicts_parked ON conflicts (sync, table_name, key) WHERE status = 'pending';

CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    sync         TEXT NOT NULL,
    remote_db_id INTEGER NOT NULL,
    started      INTEGER NOT NULL,
    finished     INTEGER,
    cause        TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('running', 'success', 'held', 'failed', 'interrupted')),
    mode         TEXT NOT NULL CHECK (mode IN ('incremental', 'full')),
    strategy     TEXT NOT NULL,
    generation   TEXT NOT NULL,
    error        TEXT
) STRICT;
CREATE INDEX runs_by_sync ON runs (sync, started);
CREATE INDEX runs_by_start ON runs (started);
CREATE INDEX runs_by_database ON runs (remote_db_id, started);

CREATE TABLE run_tables (
    run                TEXT NOT NULL REFERENCES runs (id),
    table_name         TEXT NOT NULL,
    cloud_to_local     INTEGER NOT NULL,
    local_to_cloud     INTEGER NOT NULL,
    conflicts_detected INTEGER NOT NULL,
    conflicts_resolved INTEGER NOT NULL,
    quarantined        INTEGER NOT NULL,
    pending            INTEGER NOT NULL,
    PRIMARY KEY (run, table_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
    run            TEXT NOT NULL REFERENCES runs (id),
    batch          INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    sync           TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('open', 'applied', 'moved', 'refused', 'dropped')),
    table_name     TEXT NOT NULL,
    key            BLOB NOT NULL,
    key_json       TEXT NOT NULL,
    side           TEXT NOT NULL CHECK (side IN ('cloud', 'local')),
    op             TEXT NOT NULL CHECK (op IN ('insert', 'update', 'delete')),
    before_row     TEXT,
    after_row      TEXT,
    sent_hash      BLOB CHECK (length(sent_hash) = 32),
    after_hash     BLOB CHECK (length(after_hash) = 32),
    -- What the base becomes when the row is applied exactly as sent; base_version tells whether there is such a base.
    base_version   TEXT,
    base_cloud     BLOB CHECK (length(base_cloud) = 32),
    base_local     BLOB CHECK (length(base_local) = 32),
    base_deleted   INTEGER CHECK (base_deleted IN (0, 1)),
    origin_time    INTEGER,
    conflict_id    TEXT,
    database_id    TEXT NOT NULL,
    physical_table TEXT NOT NULL,
    PRIMARY KEY (run, batch, position)
) STRICT;
CREATE INDEX journal_open ON journal (sync) WHERE status = 'open';

-- What auditors read: one line a run, times as ISO 8601 in UTC.
CREATE VIEW sync_audit_log AS
SELECT runs.remote_db_id,
       strftime('%Y-%m-%dT%H:%M:%S', runs.started / 1000000, 'unixepoch')
           || printf('.%06dZ', runs.started % 1000000) AS sync_timestamp,
       runs.id AS sync_id,
       runs.sync AS sync_name,
       runs.status,
       coalesce(totals.cloud_to_local, 0) AS cloud_to_local,
       coalesce(totals.local_to_cloud, 0) AS local_to_cloud,
       coalesce(totals.conflicts_detected, 0) AS conflicts,
       coalesce(totals.conflicts_resolved, 0) AS conflicts_resolved,
       coalesce(totals.quarantined, 0) AS quarantined,
       (runs.finished - runs.started) / 1000000.0 AS duration_seconds,
       runs.mode,
       runs.strategy,
       runs.cause AS started_by,
       runs.generation,
       runs.error
FROM runs
LEFT JOIN (
    SELECT run,
           sum(cloud_to_local) AS cloud_to_local,
           sum(local_to_cloud) AS local_to_cloud,
           sum(conflicts_detected) AS conflicts_detected,
           sum(conflicts_resolved) AS conflicts_resolved,
           sum(quarantined) AS quarantined
    FROM run_tables
    GROUP BY run
) AS totals ON totals.run = runs.id;

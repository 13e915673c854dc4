-- Version 4. What is known of each sync beside its rows: that decides when it runs next. JSON in the forms of the core's `agenda`.

CREATE TABLE standings (
    sync               TEXT PRIMARY KEY,
    remote_db_id       INTEGER NOT NULL,
    since              INTEGER NOT NULL,
    -- The run that began and has not ended; whether it goes on, the lease tells.
    running            TEXT,
    -- The last run that is over.
    last               TEXT,
    last_full          INTEGER,
    -- The revision of the source that the last run was begun from, and the spec and revision of the last that ended well.
    attempted_revision TEXT,
    applied_generation TEXT,
    applied_revision   TEXT,
    -- The last comparison of the sides, and the plan that waits for an approval.
    verdict            TEXT,
    plan               TEXT,
    changed            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people ask for beside the spec.
CREATE TABLE wishes (
    sync      TEXT PRIMARY KEY,
    request   TEXT,
    suspended TEXT,
    changed   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Grows with each change of a line of these two, which then bears it: so whoever reconciles hears of what other processes do.
CREATE TABLE changes (number INTEGER NOT NULL) STRICT;
INSERT INTO changes VALUES (0);

-- What the reconciler says of each sync that is live.
CREATE TABLE reports (
    sync       TEXT PRIMARY KEY,
    generation TEXT NOT NULL,
    revision   TEXT,
    file       TEXT NOT NULL,
    -- What the file held when its spec came in force: it outlives a restart while the newest text is broken. Specs hold no secrets.
    text       TEXT,
    reported   INTEGER NOT NULL,
    faults     TEXT NOT NULL,
    conditions TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The reconciler that runs, or ran last: at most one line.
CREATE TABLE reconciler (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    holder   TEXT NOT NULL,
    started  INTEGER NOT NULL,
    seen     INTEGER NOT NULL,
    stopped  INTEGER,
    source   TEXT NOT NULL,
    revision TEXT,
    -- Why the newest revision of the source is not in force; why changes of it may be seen late.
    trouble  TEXT,
    warning  TEXT
) STRICT, WITHOUT ROWID;

-- What was told of each sync, and the letters that are still to be delivered.
CREATE TABLE alerts_told (
    sync TEXT PRIMARY KEY,
    told TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts_outbox (
    id           TEXT PRIMARY KEY,
    sync         TEXT NOT NULL,
    next_attempt INTEGER NOT NULL,
    letter       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

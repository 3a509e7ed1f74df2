-- Facts about the database as a whole, such as the check value of its key.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One line an export: who may write, and which pages hold its state.
CREATE TABLE lease (
    export TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    holder TEXT NOT NULL,
    generation INTEGER NOT NULL,
    first_page INTEGER NOT NULL,
    next_page INTEGER NOT NULL
) STRICT;

CREATE TABLE run (
    number INTEGER NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    export TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    status TEXT NOT NULL,
    report TEXT
) STRICT;
CREATE INDEX run_by_export ON run (export, number);

-- What each segment number means in pages from this one on.
CREATE TABLE segment (
    export TEXT NOT NULL,
    number INTEGER NOT NULL,
    from_page INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (export, number, from_page)
) STRICT;

-- The log of everything runs write, and, folded, what it amounts to.
CREATE TABLE page (
    export TEXT NOT NULL,
    number INTEGER NOT NULL,
    run INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (export, number)
) STRICT;
CREATE INDEX page_by_run ON page (run, number);

CREATE TABLE suppression (
    identity BLOB NOT NULL PRIMARY KEY,
    added_at TEXT NOT NULL
) STRICT;

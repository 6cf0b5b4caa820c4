-- Erasures that are not complete: what was erased, as the journal says it; `journaled` is 1 once the
-- journal holds it, and what is left to do is to take it out of the database's files.
CREATE TABLE erasure_note (
    erased TEXT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    journaled BIGINT NOT NULL DEFAULT 0
);

-- A secret for each person and key that a backup holds, under which it does. In no backup itself.
CREATE TABLE backup_secret (
    subject TEXT NOT NULL PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL
);

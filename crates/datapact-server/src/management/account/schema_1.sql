-- `noticed` is the sequence of the last notice that set the status at the other servers;
-- `authorisation`, JSON, is the signed call by which it is to be erased, or `null`.
CREATE TABLE account (
    id TEXT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    attributes TEXT NOT NULL,
    active BIGINT NOT NULL,
    created BIGINT NOT NULL,
    erase_at BIGINT,
    noticed BIGINT NOT NULL DEFAULT 0,
    authorisation TEXT NOT NULL DEFAULT 'null'
);

-- `code` is the digest of the code.
CREATE TABLE invitation (
    code TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    role TEXT NOT NULL,
    attributes TEXT NOT NULL,
    expires BIGINT NOT NULL,
    account TEXT
);

-- Only ever added to; but a statement is erased with its signer.
CREATE TABLE action (
    sequence BIGINT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    actor TEXT,
    statement TEXT
);
CREATE INDEX action_actor ON action (actor);

-- Calls that may or may not be on the ledger yet, by the id of the document behind them.
CREATE TABLE intent (
    id TEXT NOT NULL PRIMARY KEY,
    call TEXT NOT NULL,
    documents TEXT NOT NULL,
    -- When the ledger refused it, where another process may still be executing it.
    refused BIGINT
);

-- One row: the ledger's position up to which everything is applied, and the numbers given out last.
CREATE TABLE projection (
    id BIGINT NOT NULL PRIMARY KEY,
    next BIGINT NOT NULL,
    event BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);
INSERT INTO projection (id, next, event, sequence) VALUES (1, 0, 0, 0);

-- What opens commitments. Deleting a row erases the link between the ledger and a person.
CREATE TABLE salt (
    share TEXT NOT NULL,
    identity TEXT NOT NULL,
    salt TEXT NOT NULL,
    PRIMARY KEY (share, identity)
);
CREATE INDEX salt_identity ON salt (identity);

-- Salts of erased users whom a live policy names: erased when the policy ends.
CREATE TABLE salt_later (
    share TEXT NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (share, identity)
);

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

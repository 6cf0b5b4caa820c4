-- The newest checkpoint of each log that was cosigned. `note` has the log's signature and ours.
CREATE TABLE witness_checkpoint (
    origin TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    root TEXT NOT NULL,
    note TEXT NOT NULL
);

-- Requests with checkpoints that a log has signed and that contradict what was cosigned, with proofs.
CREATE TABLE witness_evidence (
    origin TEXT NOT NULL,
    number BIGINT NOT NULL,
    time BIGINT NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (origin, number)
);

-- The tables of a log: the embedded ledger's own, and those of its followers.

CREATE TABLE ledger_entry (
    position BIGINT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    entry BYTEA NOT NULL,
    receipt TEXT NOT NULL
);

-- As many hashes as the tile has so far.
CREATE TABLE ledger_tile (
    level BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (level, tile)
);

-- The contract's state, with the entry that last wrote each value.
CREATE TABLE ledger_state (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    position BIGINT NOT NULL
);

-- Where the policies of a share are.
CREATE TABLE ledger_policy (
    share TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (share, position)
);

-- As the log signed them, without cosignatures.
CREATE TABLE ledger_checkpoint (
    size BIGINT NOT NULL PRIMARY KEY,
    note TEXT NOT NULL
);

CREATE TABLE ledger_cosignature (
    size BIGINT NOT NULL REFERENCES ledger_checkpoint (size),
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (size, witness)
);

-- Why a follower stopped for good: one row, or none.
CREATE TABLE ledger_fault (
    id BIGINT NOT NULL PRIMARY KEY,
    position BIGINT,
    reason TEXT NOT NULL,
    evidence TEXT NOT NULL
);

-- The chain that the log mirrors, and the chain's position after the newest event mirrored: one
-- row, or none.
CREATE TABLE ledger_mirror (
    id BIGINT NOT NULL PRIMARY KEY,
    chain TEXT NOT NULL,
    next BIGINT NOT NULL
);

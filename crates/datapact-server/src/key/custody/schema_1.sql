-- What proves each version of the key-encryption key that keys here are encrypted with. The greatest
-- is in use.
CREATE TABLE key_kek (
    version BIGINT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL
);

-- Registered keys. The columns from `share` on are NULL until the key is stored; `kek` is the version
-- of the key-encryption key that `sealed` is under.
CREATE TABLE key_entry (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    registered BIGINT NOT NULL,
    share TEXT,
    package TEXT,
    kek BIGINT,
    sealed TEXT
);
CREATE INDEX key_entry_owner ON key_entry (owner, share);

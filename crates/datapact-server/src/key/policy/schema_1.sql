-- Policies that providers signed. `call` is what the ledger must say of one, NULL until management has
-- shown it; `withheld` is 1 once the provider has brought it to withhold the key.
CREATE TABLE key_policy (
    policy TEXT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    owner TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    expires BIGINT NOT NULL,
    signed BIGINT NOT NULL,
    key TEXT NOT NULL,
    package TEXT NOT NULL,
    package_id TEXT NOT NULL,
    call TEXT,
    withheld BIGINT NOT NULL
);
CREATE INDEX key_policy_share ON key_policy (share, owner, version);
CREATE INDEX key_policy_key ON key_policy (key);

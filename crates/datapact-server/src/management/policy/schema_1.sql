-- The signed policies, all versions.
CREATE TABLE policy (
    id TEXT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    version BIGINT NOT NULL,
    provider TEXT NOT NULL,
    position BIGINT NOT NULL,
    document TEXT NOT NULL
);

-- The newest version of each share.
CREATE TABLE share (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    policy TEXT NOT NULL,
    -- The number of its newest publication.
    event BIGINT NOT NULL,
    state TEXT NOT NULL,
    expires BIGINT NOT NULL,
    -- The catalog's entry, JSON.
    entry TEXT NOT NULL,
    accesses BIGINT NOT NULL,
    -- The ledger's time of the newest version, and whether its package was deleted since.
    changed BIGINT NOT NULL,
    package_gone BIGINT NOT NULL DEFAULT 0,
    -- What the catalog searches by: 0 not in its index yet, 1 in it, 2 no longer, since it expired.
    indexed BIGINT NOT NULL DEFAULT 0,
    not_before BIGINT NOT NULL DEFAULT 0,
    price BIGINT,
    currency TEXT
);
CREATE INDEX share_event ON share (event);
CREATE INDEX share_provider ON share (provider, event);
CREATE INDEX share_expires ON share (package_gone, expires);
CREATE INDEX share_indexed ON share (indexed, expires);

-- Packages of earlier versions that later ones do not name.
CREATE TABLE replaced (
    package TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    time BIGINT NOT NULL
);
CREATE INDEX replaced_time ON replaced (time);

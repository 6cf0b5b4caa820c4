-- The one commitment by which a consumer is known on a share.
CREATE TABLE key_consumer (
    share TEXT NOT NULL,
    identity TEXT NOT NULL,
    commitment TEXT NOT NULL,
    PRIMARY KEY (share, identity)
);
CREATE INDEX key_consumer_identity ON key_consumer (identity);

-- Releases. `sealed` is NULL once no token for the access can live any more. `consumer` has signed the
-- key request, which is erased with it.
CREATE TABLE key_release (
    key_request TEXT NOT NULL PRIMARY KEY,
    request TEXT NOT NULL,
    share TEXT NOT NULL,
    owner TEXT NOT NULL,
    consumer TEXT NOT NULL,
    time BIGINT NOT NULL,
    sealed TEXT,
    signed_release TEXT NOT NULL,
    signed_request TEXT NOT NULL
);
CREATE INDEX key_release_request ON key_release (request);
CREATE INDEX key_release_consumer ON key_release (consumer);
CREATE INDEX key_release_time ON key_release (time);
-- The releases of a share, page by page.
CREATE INDEX key_release_share ON key_release (share, owner, key_request);

-- Shares that erased users have accessed, by their marks: they get no second count there.
CREATE TABLE key_tombstone (
    share TEXT NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (share, mark)
);

-- What is left of a release whose consumer was erased: the server's statement, which names no consumer.
CREATE TABLE key_release_erasure (
    key_request TEXT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    owner TEXT NOT NULL,
    statement TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX key_release_erasure_share ON key_release_erasure (share, owner, key_request);

-- The statements by which erasures were asked for, each good for one. `document` is NULL when its
-- signer was erased.
CREATE TABLE key_erasure (
    statement TEXT NOT NULL PRIMARY KEY,
    signer TEXT,
    document TEXT
);

-- Accesses whose tokens were revoked, until none can live any more.
CREATE TABLE key_revocation (
    request TEXT NOT NULL PRIMARY KEY,
    until BIGINT NOT NULL
);

-- Accesses, by the request's document id.
CREATE TABLE access (
    request TEXT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    -- NULL once the provider was erased.
    provider TEXT,
    consumer TEXT NOT NULL,
    position BIGINT NOT NULL,
    record TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX access_consumer ON access (consumer, position);
CREATE INDEX access_provider ON access (provider, position);

-- Usage reports, by their document id.
CREATE TABLE usage (
    report TEXT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    -- NULL once the provider was erased.
    provider TEXT,
    consumer TEXT NOT NULL,
    position BIGINT NOT NULL,
    record TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX usage_consumer ON usage (consumer, position);
CREATE INDEX usage_provider ON usage (provider, position);

-- Entries of the ledger whose documents were erased.
CREATE TABLE erasure (
    position BIGINT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    provider TEXT NOT NULL,
    time BIGINT NOT NULL
);
CREATE INDEX erasure_provider ON erasure (provider, position);

-- Live shares on which an erased user had a count, by the user's mark: one who comes again gets no
-- second count.
CREATE TABLE tombstone (
    share TEXT NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (share, mark)
);

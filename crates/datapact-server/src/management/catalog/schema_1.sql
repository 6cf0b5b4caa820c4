-- The outbox: what subscribers are told, in order. Only ever added to, and erased with the provider.
CREATE TABLE publication (
    event BIGINT NOT NULL PRIMARY KEY,
    share TEXT NOT NULL,
    entry TEXT NOT NULL
);
CREATE INDEX publication_share ON publication (share);

-- The terms that each share is found by.
CREATE TABLE term (
    share TEXT NOT NULL,
    term TEXT NOT NULL,
    event BIGINT NOT NULL,
    PRIMARY KEY (share, term)
);
CREATE INDEX term_event ON term (term, event, share);

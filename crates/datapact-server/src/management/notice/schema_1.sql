-- What the other servers are still to be told of users.
CREATE TABLE notice (
    server TEXT NOT NULL,
    identity TEXT NOT NULL,
    status TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    -- Who asked for an erasure; `null` otherwise.
    authorisation TEXT NOT NULL,
    PRIMARY KEY (server, identity)
);

-- Revoked tokens, by the access request's document id, until every token for it has expired. `server`
-- is the key server that is told.
CREATE TABLE token_revocation (
    request TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    until BIGINT NOT NULL,
    told BIGINT NOT NULL
);
CREATE INDEX token_revocation_told ON token_revocation (told, server);

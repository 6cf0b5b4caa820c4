-- By the access request's document id, until every token for it has expired. `server` is the key
-- server, as the outbox of notices names it.
CREATE TABLE token_revocation (
    request TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    until BIGINT NOT NULL,
    told BIGINT NOT NULL
);
CREATE INDEX token_revocation_told ON token_revocation (told, server);

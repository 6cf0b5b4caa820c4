-- What the other servers are still to be told of users.
CREATE TABLE notice (
    server TEXT NOT NULL,
    identity TEXT NOT NULL,
    status TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (server, identity)
);

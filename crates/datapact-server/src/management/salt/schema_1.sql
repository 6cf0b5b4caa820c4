-- What opens commitments. Deleting a row erases the link between the ledger and a person.
CREATE TABLE salt (
    share TEXT NOT NULL,
    identity TEXT NOT NULL,
    salt TEXT NOT NULL,
    PRIMARY KEY (share, identity)
);
CREATE INDEX salt_identity ON salt (identity);

-- Salts of erased users whom a live policy names: erased when the policy ends.
CREATE TABLE salt_later (
    share TEXT NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (share, identity)
);

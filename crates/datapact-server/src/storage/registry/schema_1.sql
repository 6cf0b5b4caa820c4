-- Registrations of packages. `object`, `digest` and `size` are NULL until the package is stored;
-- `announced` is what an upload has room set aside for, from its beginning on. `confirmed` is 1 once
-- management has asked for the stored package.
CREATE TABLE package (
    id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    subject TEXT NOT NULL,
    registered BIGINT NOT NULL,
    confirmed BIGINT NOT NULL DEFAULT 0,
    object TEXT,
    digest TEXT,
    size BIGINT,
    announced BIGINT
);
CREATE INDEX package_provider ON package (realm, subject);

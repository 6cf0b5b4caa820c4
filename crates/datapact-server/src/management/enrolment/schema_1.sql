-- The published versions, each with its signatures: a list of documents.
CREATE TABLE enrolment (
    version BIGINT NOT NULL PRIMARY KEY,
    signatures TEXT NOT NULL
);

-- What each administrator has signed of the version that follows.
CREATE TABLE enrolment_signature (
    signer TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    document TEXT NOT NULL
);

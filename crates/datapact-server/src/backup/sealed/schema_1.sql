CREATE TABLE sealed_row (
    source TEXT NOT NULL,
    numbers TEXT NOT NULL,
    row BYTEA NOT NULL,
    part_number TEXT,
    part BYTEA,
    remains TEXT
);

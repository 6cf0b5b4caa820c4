-- What users should know, until they acknowledge it and for a while after.
CREATE TABLE notification (
    sequence BIGINT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    -- The other user whom it names.
    subject TEXT,
    time BIGINT NOT NULL,
    body TEXT NOT NULL,
    acknowledged BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX notification_time ON notification (time);
CREATE INDEX notification_holder ON notification (holder, sequence);
CREATE INDEX notification_subject ON notification (subject);

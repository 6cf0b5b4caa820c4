CREATE TABLE subscription (
    id TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    filter TEXT NOT NULL,
    -- Where publications are sent, and the secret that signs them.
    webhook TEXT,
    secret TEXT,
    created BIGINT NOT NULL,
    -- It is about the publications that follow this one.
    after BIGINT NOT NULL
);
CREATE INDEX subscription_holder ON subscription (holder, created);

-- The outbox of webhooks: each publication that is still to be sent, or that could not be (`dead`).
-- One that is being sent is `leased` until `due`.
CREATE TABLE webhook_delivery (
    subscription TEXT NOT NULL,
    event BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    time BIGINT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (subscription, event)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (dead, due);

-- One row: up to which publication the outbox is filled.
CREATE TABLE webhook_cursor (
    id BIGINT NOT NULL PRIMARY KEY,
    event BIGINT NOT NULL
);
INSERT INTO webhook_cursor (id, event) VALUES (1, 0);

-- The link by which the vendor of a client sees the hand-off sheet and checks the connection: one at a time, by the hash
-- of its secret.
CREATE TABLE vendor_link (
    client_id TEXT PRIMARY KEY NOT NULL REFERENCES client (id),
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX vendor_link_purge ON vendor_link (purge_at);

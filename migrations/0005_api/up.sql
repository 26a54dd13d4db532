-- The admin API: its bearer tokens, and the answers to requests that may be sent again.

CREATE TABLE api_token (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    -- SHA-256 of the token.
    hash TEXT NOT NULL UNIQUE,
    -- The role of the console whose rights it has.
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX api_token_created ON api_token (created_at, id);

-- Answers to requests with an Idempotency-Key, by the hash of token and key. The answer may hold a secret: it is sealed
-- under the master key.
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the request that was answered.
    request TEXT NOT NULL,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX idempotency_purge ON idempotency (purge_at);

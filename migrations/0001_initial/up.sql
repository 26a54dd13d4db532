-- Portable SQL: runs on SQLite and on PostgreSQL. Times are seconds since the Unix epoch, unless the column says _ms.
-- Every row that expires has purge_at; the sweeper deletes it after that.

CREATE TABLE installation (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    created_at BIGINT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    revision BIGINT NOT NULL
);

-- What other processes must learn of within a second: revocations and changed registrations, in commit order.
CREATE TABLE change (
    seq BIGINT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX change_purge ON change (purge_at);

CREATE TABLE resource_server (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    audience TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE client (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    dataflow TEXT NOT NULL,
    settings TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Secrets of clients and of resource servers; several may be valid at a time.
CREATE TABLE client_secret (
    id TEXT PRIMARY KEY NOT NULL,
    owner_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX client_secret_owner ON client_secret (owner_id);

CREATE TABLE person (
    id TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password TEXT,
    totp_secret TEXT,
    totp_step BIGINT NOT NULL,
    settings TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Failed sign-ins by keyed hash of what was typed, known account or not.
CREATE TABLE login_failure (
    subject TEXT PRIMARY KEY NOT NULL,
    failures BIGINT NOT NULL,
    window_started_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX login_failure_purge ON login_failure (purge_at);

CREATE TABLE session (
    hash TEXT PRIMARY KEY NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    person_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    auth_time BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    amr TEXT NOT NULL,
    second_factor_due BOOLEAN NOT NULL,
    ended_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX session_person ON session (person_id);
CREATE INDEX session_purge ON session (purge_at);

-- What a person allowed a client, remembered for as long as nothing changes that the page had told.
CREATE TABLE consent (
    person_id TEXT NOT NULL REFERENCES person (id),
    client_id TEXT NOT NULL REFERENCES client (id),
    person_generation BIGINT NOT NULL,
    client_generation BIGINT NOT NULL,
    resource_server TEXT,
    purposes TEXT NOT NULL,
    scope TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (person_id, client_id)
);

-- What a person allowed a client, once: the family of its refresh tokens, the name in its access tokens.
CREATE TABLE grants (
    id TEXT PRIMARY KEY NOT NULL,
    client_id TEXT NOT NULL REFERENCES client (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    client_generation BIGINT NOT NULL,
    person_generation BIGINT NOT NULL,
    facts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_person ON grants (person_id);
CREATE INDEX grants_purge ON grants (purge_at);

CREATE TABLE authorization_code (
    hash TEXT PRIMARY KEY NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX authorization_code_grant ON authorization_code (grant_id);
CREATE INDEX authorization_code_purge ON authorization_code (purge_at);

CREATE TABLE refresh_token (
    hash TEXT PRIMARY KEY NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    nonce TEXT NOT NULL,
    answered_scope TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX refresh_token_family ON refresh_token (grant_id, generation);
CREATE INDEX refresh_token_purge ON refresh_token (purge_at);

CREATE TABLE opaque_token (
    hash TEXT PRIMARY KEY NOT NULL,
    claims TEXT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX opaque_token_purge ON opaque_token (purge_at);

-- SHA-256 over client and jti of an assertion that was used.
CREATE TABLE assertion_jti (
    hash TEXT PRIMARY KEY NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX assertion_jti_purge ON assertion_jti (purge_at);

CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY NOT NULL,
    algorithm TEXT NOT NULL,
    private_key TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retires_at BIGINT,
    purge_at BIGINT
);

-- The audit record: append-only. Each row's leaf commits to the row before it in its chain.
CREATE TABLE audit_chain (
    id INTEGER PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL,
    head TEXT NOT NULL
);

CREATE TABLE audit_event (
    chain INTEGER NOT NULL REFERENCES audit_chain (id),
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    client_id TEXT,
    person_id TEXT,
    body TEXT NOT NULL,
    leaf TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_event_at ON audit_event (at_ms);
CREATE INDEX audit_event_client ON audit_event (client_id, at_ms) WHERE client_id IS NOT NULL;
CREATE INDEX audit_event_person ON audit_event (person_id, at_ms) WHERE person_id IS NOT NULL;

-- What belongs to an account: second factors, one-time links, old passwords, identities at an agency's own provider.

ALTER TABLE person ADD COLUMN password_changed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE person ADD COLUMN last_login_at BIGINT;
-- Since when the person has not been here: set when added, when enabled, and at each sign-in.
ALTER TABLE person ADD COLUMN idle_since BIGINT NOT NULL DEFAULT 0;
UPDATE person SET password_changed_at = updated_at, idle_since = updated_at;
CREATE INDEX person_idle ON person (enabled, idle_since);

-- Sessions have an id that stays when the cookie changes. Those of the old form end: people sign in again.
DROP TABLE session;
CREATE TABLE session (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL REFERENCES person (id),
    person_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    auth_time BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    acr TEXT NOT NULL,
    amr TEXT NOT NULL,
    second_factor_due BOOLEAN NOT NULL,
    identity_provider TEXT,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    -- What is being set up and was not confirmed yet: a wrapped TOTP secret; what the codes on the screen derive from.
    totp_set_up TEXT,
    recovery_nonce TEXT,
    ended_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX session_person ON session (person_id);
CREATE INDEX session_purge ON session (purge_at);

-- Which session a grant was made in: its clients are told when the session ends.
ALTER TABLE grants ADD COLUMN session_id TEXT;
CREATE INDEX grants_session ON grants (session_id) WHERE session_id IS NOT NULL;

-- Failures since the last success, however long ago (NIST SP 800-63B-4 §3.2.2).
ALTER TABLE login_failure ADD COLUMN consecutive BIGINT NOT NULL DEFAULT 0;

-- WebAuthn credentials; the id is the credential's, in base64url.
CREATE TABLE passkey (
    id TEXT PRIMARY KEY NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    name TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkey_person ON passkey (person_id);

-- Keyed hashes of single-use codes for those who have lost their second factor.
CREATE TABLE recovery_code (
    hash TEXT PRIMARY KEY NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX recovery_code_person ON recovery_code (person_id);

CREATE TABLE password_history (
    id TEXT PRIMARY KEY NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    password TEXT NOT NULL,
    replaced_at BIGINT NOT NULL
);
CREATE INDEX password_history_person ON password_history (person_id, replaced_at);

-- One-time links: invitations and new passwords. A GET never uses one up.
CREATE TABLE link (
    hash TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    person_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX link_person ON link (person_id);
CREATE INDEX link_purge ON link (purge_at);

-- Providers of an agency that people may sign in with (OpenID Connect); the secret is wrapped under the master key.
CREATE TABLE identity_provider (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    secret TEXT,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE linked_identity (
    provider_id TEXT NOT NULL REFERENCES identity_provider (id),
    subject TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    linked_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (provider_id, subject)
);
CREATE INDEX linked_identity_person ON linked_identity (person_id);

-- Clients that still have to be told that a session has ended (OpenID Connect Back-Channel Logout).
CREATE TABLE logout_notice (
    id TEXT PRIMARY KEY NOT NULL,
    client_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    purge_at BIGINT NOT NULL
);
CREATE INDEX logout_notice_next ON logout_notice (next_at);
CREATE INDEX logout_notice_purge ON logout_notice (purge_at);

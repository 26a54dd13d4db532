-- The record becomes one or more logs in the sense of RFC 6962 §2. What was recorded before is dropped: no version was
-- released whose record has to be kept.
DROP TABLE activity_position;
DROP TABLE audit_event;
DROP TABLE audit_chain;

-- SQLite has one log; on PostgreSQL a transaction takes one that nobody holds.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY NOT NULL,
    -- What checkpoints and proofs call it (c2sp.org/tlog-checkpoint): host, epoch and number.
    origin TEXT NOT NULL UNIQUE,
    -- How many events it has: raised in the transaction that writes them.
    size BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    -- Nothing is written to it any more, since then.
    closed_at BIGINT
);

CREATE TABLE audit_event (
    -- The log times 2^40, and the number in the log, from 1.
    id BIGINT PRIMARY KEY NOT NULL,
    -- Milliseconds since the epoch.
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    client_id TEXT,
    person_id TEXT,
    -- The person who acted, where it is another one than the person concerned.
    by_person TEXT,
    -- Canonical JSON (RFC 8785) of the whole event.
    body TEXT NOT NULL,
    -- SHA-256 over a byte 0 and the body (RFC 6962 §2.1).
    leaf BYTEA NOT NULL
);
CREATE INDEX audit_event_at ON audit_event (at_ms);
CREATE INDEX audit_event_client ON audit_event (client_id, at_ms) WHERE client_id IS NOT NULL;
CREATE INDEX audit_event_person ON audit_event (person_id, at_ms) WHERE person_id IS NOT NULL;
CREATE INDEX audit_event_by_person ON audit_event (by_person, at_ms) WHERE by_person IS NOT NULL;
CREATE INDEX audit_event_kind ON audit_event (kind, at_ms);
CREATE INDEX audit_event_failed ON audit_event (at_ms) WHERE outcome <> '0';
CREATE INDEX audit_event_serious ON audit_event (at_ms) WHERE outcome = '8';

-- Hashes of whole subtrees: level 1 has one for every 256 events, level 2 one for every 256 of those, and so on.
CREATE TABLE audit_node (
    log INTEGER NOT NULL,
    level INTEGER NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (log, level, number)
);

-- What was signed of a log at a size: a note of c2sp.org/tlog-checkpoint.
CREATE TABLE audit_checkpoint (
    log INTEGER NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (log, size)
);

-- The checkpoints of one moment, and which logs there were, in one signed note.
CREATE TABLE audit_bundle (
    id BIGINT PRIMARY KEY NOT NULL,
    at_ms BIGINT NOT NULL,
    note TEXT NOT NULL
);

-- Keys that sign checkpoints (Ed25519). Public parts stay: what they signed has to verify for as long as it is kept.
CREATE TABLE audit_key (
    id INTEGER PRIMARY KEY NOT NULL,
    public_key TEXT NOT NULL,
    -- Wrapped by the master key.
    private_key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- How far the events of a log were counted.
CREATE TABLE activity_position (
    log INTEGER PRIMARY KEY NOT NULL REFERENCES audit_log (id),
    seq BIGINT NOT NULL
);
ALTER TABLE client_activity RENAME COLUMN noted_chain TO noted_log;
UPDATE client_activity SET noted_log = 0, noted_seq = 0;

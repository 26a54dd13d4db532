-- What the record is searched by, and what the console tells of the last days without searching it.

-- Who acted, where it is another person than the one concerned: an administrator who changed somebody. Events of an
-- older schema say it in their bodies alone.
ALTER TABLE audit_event ADD COLUMN by_person TEXT;
CREATE INDEX audit_event_by_person ON audit_event (by_person, at_ms) WHERE by_person IS NOT NULL;
CREATE INDEX audit_event_serious ON audit_event (at_ms) WHERE outcome = '8';

-- How far each chain of the record was counted.
CREATE TABLE activity_position (
    chain INTEGER PRIMARY KEY NOT NULL REFERENCES audit_chain (id),
    seq BIGINT NOT NULL
);

-- How often something happened in an hour, which is named by its beginning.
CREATE TABLE activity (
    hour BIGINT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    count BIGINT NOT NULL,
    purge_at BIGINT NOT NULL,
    PRIMARY KEY (hour, what, reason)
);
CREATE INDEX activity_purge ON activity (purge_at);

-- What a client or resource server did last.
CREATE TABLE client_activity (
    client_id TEXT PRIMARY KEY NOT NULL,
    last_token_at BIGINT,
    last_failure_at BIGINT,
    last_failure TEXT,
    last_introspection_at BIGINT
);

-- What the console lists, searches and begins with.

-- People in the order of their names; page by page, whatever their number.
ALTER TABLE person ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
UPDATE person SET name_key = lower(name);
CREATE INDEX person_name ON person (name_key, id);
CREATE INDEX person_state_name ON person (enabled, name_key, id);
CREATE INDEX person_created ON person (created_at, id);
CREATE INDEX person_last_login ON person (last_login_at, id);

-- The roles of people, beside their settings: who holds a role, and whether an administrator is left.
CREATE TABLE person_role (
    person_id TEXT NOT NULL REFERENCES person (id),
    role TEXT NOT NULL,
    name_key TEXT NOT NULL,
    PRIMARY KEY (person_id, role)
);
CREATE INDEX person_role_name ON person_role (role, name_key, person_id);

-- The words that a person is found by, in hexadecimal of their UTF-8: so the order is that of the bytes in every
-- collation, and a range finds what begins with something.
CREATE TABLE person_term (
    person_id TEXT NOT NULL REFERENCES person (id),
    term TEXT NOT NULL,
    PRIMARY KEY (person_id, term)
);
CREATE INDEX person_term_term ON person_term (term, person_id);

CREATE INDEX session_created ON session (created_at, id);
CREATE INDEX grants_created ON grants (created_at, id);

-- The record by what happened, and what went wrong in it.
CREATE INDEX audit_event_kind ON audit_event (kind, at_ms);
CREATE INDEX audit_event_failed ON audit_event (at_ms) WHERE outcome <> '0';

-- The link with which the first administrator is made. There is one at a time.
CREATE TABLE first_link (
    hash TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    purge_at BIGINT NOT NULL
);
CREATE INDEX first_link_purge ON first_link (purge_at);

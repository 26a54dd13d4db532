-- Whatever people are found by, with what their lists are ordered by: words, in hexadecimal of their UTF-8, roles
-- (`role=registrar`) and states (`state=disabled`). The program writes all of it at its next start. No default: a server
-- of before that still runs must not write rows that say less.
DROP TABLE person_term;
CREATE TABLE person_term (
    person_id TEXT NOT NULL REFERENCES person (id),
    term TEXT NOT NULL,
    name_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL,
    PRIMARY KEY (person_id, term)
);
CREATE INDEX person_term_term ON person_term (term, name_key, person_id, created_at, last_login_at);
DROP INDEX person_state_name;
DROP INDEX person_awaited;

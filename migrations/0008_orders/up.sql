-- Whatever people are found by (words, roles, states) leads to them in each order that they are listed in, without
-- looking at anybody. The program writes all of it anew at its next start.
DELETE FROM person_term;
ALTER TABLE person_term ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE person_term ADD COLUMN last_login_at BIGINT NOT NULL DEFAULT 0;
DROP INDEX person_term_term;
CREATE INDEX person_term_term ON person_term (term, name_key, person_id, created_at, last_login_at);
DROP INDEX person_state_name;
DROP INDEX person_awaited;

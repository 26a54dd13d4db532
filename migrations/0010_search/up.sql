-- What people are found by no longer repeats what their lists are ordered by: the database intersects who has each term,
-- and takes the order from the person. A sign-in has nothing to write here but that somebody is no longer awaited.
DROP INDEX person_term_term;
ALTER TABLE person_term DROP COLUMN name_key;
ALTER TABLE person_term DROP COLUMN created_at;
ALTER TABLE person_term DROP COLUMN last_login_at;
CREATE INDEX person_term_term ON person_term (term, person_id);

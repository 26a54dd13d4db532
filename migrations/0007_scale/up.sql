-- By which event something was noted last: whoever follows reads what is new.
ALTER TABLE client_activity ADD COLUMN noted_chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE client_activity ADD COLUMN noted_seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX client_activity_noted ON client_activity (noted_chain, noted_seq);

-- People whose words begin with something in the order of their names, without looking at anybody. Words are written
-- anew when the schema is, names in the order that the program gives them along with them.
DELETE FROM person_term;
ALTER TABLE person_term ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
DROP INDEX person_term_term;
CREATE INDEX person_term_term ON person_term (term, name_key, person_id);

-- By which event something was noted last: whoever follows reads what is new.
ALTER TABLE client_activity ADD COLUMN noted_chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE client_activity ADD COLUMN noted_seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX client_activity_noted ON client_activity (noted_chain, noted_seq);

-- People whose words begin with something in the order of their names, without looking at anybody.
ALTER TABLE person_term ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
UPDATE person_term SET name_key = (SELECT person.name_key FROM person WHERE person.id = person_term.person_id);
DROP INDEX person_term_term;
CREATE INDEX person_term_term ON person_term (term, name_key, person_id);

-- Since when somebody holds a role: what a review of access looks at. For roles of before: since the last change.
ALTER TABLE person_role ADD COLUMN given_at BIGINT NOT NULL DEFAULT 0;
UPDATE person_role SET given_at = (SELECT updated_at FROM person WHERE person.id = person_role.person_id);

-- Those who were here, those who were not, and those who were invited and have not come yet: each in an order of theirs.
DROP INDEX person_last_login;
CREATE INDEX person_last_login ON person (last_login_at, id) WHERE last_login_at IS NOT NULL;
CREATE INDEX person_never_here ON person (id) WHERE last_login_at IS NULL;
CREATE INDEX person_awaited ON person (name_key, id) WHERE password IS NULL AND last_login_at IS NULL;

CREATE INDEX grants_client_created ON grants (client_id, created_at, id);

-- Whose a token of the admin API is: a person's holds at most what the person holds, the installation's (none) what its
-- scope says. Tokens that tokens made have nobody to answer for them, and end.
ALTER TABLE api_token ADD COLUMN person_id TEXT;
UPDATE api_token SET person_id = substr(created_by, 8) WHERE created_by LIKE 'person %';
UPDATE api_token SET revoked_at = created_at WHERE created_by LIKE 'api_token %' AND revoked_at IS NULL;
CREATE INDEX api_token_person ON api_token (person_id);

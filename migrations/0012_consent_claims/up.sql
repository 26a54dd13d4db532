-- Claims that somebody allowed by their names (OpenID Connect Core 5.5), with blanks in between.
ALTER TABLE consent ADD COLUMN claims TEXT NOT NULL DEFAULT '';

-- The log of changes names each entry, so that whoever follows it notices when it is not the one that was read: after the
-- database was restored, or when entries were deleted before they were read.
ALTER TABLE change ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE installation ADD COLUMN revision_id TEXT NOT NULL DEFAULT '';
-- What is written to prove that writing is possible.
CREATE TABLE probe (id INTEGER PRIMARY KEY NOT NULL, padding TEXT NOT NULL);
-- When the second factor of a session was shown.
ALTER TABLE session ADD COLUMN second_factor_at BIGINT;
-- When it was told that unusually many people are about to be disabled because they were not here for long, and of how many.
ALTER TABLE installation ADD COLUMN dormancy_told_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN dormancy_told_of BIGINT NOT NULL DEFAULT 0;

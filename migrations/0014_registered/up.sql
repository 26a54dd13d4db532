-- All that is said of a client or resource server is in its settings: one shape for every noun.
CREATE TABLE registered_server (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
INSERT INTO registered_server
    SELECT id, name,
        '{"audience":"' || replace(replace(audience, '\', '\\'), '"', '\"') || '",' || substr(settings, 2),
        enabled, generation, created_at, updated_at
    FROM resource_server;
DROP TABLE resource_server;
ALTER TABLE registered_server RENAME TO resource_server;
UPDATE client SET settings =
    '{"dataflow":"' || replace(replace(dataflow, '\', '\\'), '"', '\"') || '",' || substr(settings, 2);
ALTER TABLE client DROP COLUMN dataflow;
ALTER TABLE identity_provider ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;

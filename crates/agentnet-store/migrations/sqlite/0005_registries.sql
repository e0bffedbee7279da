-- Which database this is, and which registries run on it: how they know each other's announcements (PROTOCOL.md 10.3).

CREATE TABLE agentnet_database (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

INSERT INTO agentnet_database (id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE agentnet_registries (
    number       TEXT    NOT NULL PRIMARY KEY,
    server_id    TEXT    NOT NULL,
    announce_key TEXT    NOT NULL,
    beat_at      INTEGER NOT NULL
) STRICT;

-- Which database this is, and which registries run on it: how they know each other's announcements (PROTOCOL.md 10.3).

CREATE TABLE IF NOT EXISTS agentnet_database (
    id text NOT NULL PRIMARY KEY
);

INSERT INTO agentnet_database (id)
    SELECT md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text)
    WHERE NOT EXISTS (SELECT 1 FROM agentnet_database);

CREATE TABLE IF NOT EXISTS agentnet_registries (
    number       text        NOT NULL PRIMARY KEY,
    server_id    text        NOT NULL,
    announce_key text        NOT NULL,
    beat_at      timestamptz NOT NULL
);

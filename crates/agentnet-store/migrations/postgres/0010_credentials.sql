-- The secure mode with signed credentials, and with several registries.

-- Credentials (JWTs) of the user with this nkey that were issued until issued_until are void. Rows are locked after those of
-- agent_members.
CREATE TABLE IF NOT EXISTS agent_voided_nkeys (
    nkey         text        NOT NULL PRIMARY KEY,
    issued_until timestamptz NOT NULL,
    voided_at    timestamptz NOT NULL
);

-- By which the broker knows a registry in secure mode.
ALTER TABLE agentnet_registries ADD COLUMN IF NOT EXISTS nkey text;

-- The secure mode with signed credentials, and with several registries.

-- Credentials (JWTs) of the user with this nkey that were issued until issued_until are void.
CREATE TABLE agent_voided_nkeys (
    nkey         TEXT    NOT NULL PRIMARY KEY,
    issued_until INTEGER NOT NULL,
    voided_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- By which the broker knows a registry in secure mode.
ALTER TABLE agentnet_registries ADD COLUMN nkey TEXT;

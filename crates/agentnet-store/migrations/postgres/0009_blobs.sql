-- Blobs that a registry keeps for the members of a secure network: their pieces are in the object store, here is whose they are and
-- who may read them.

-- One blob. object names its pieces; last_sequence is the number of the newest one in their stream. hash is the state of its SHA-256
-- while pieces are missing; reference, exact JSON text, is set once it is complete.
CREATE TABLE IF NOT EXISTS agent_blobs (
    blob_id       text COLLATE "C" NOT NULL PRIMARY KEY,
    account_id    text COLLATE "C" NOT NULL,
    object        text        NOT NULL,
    size          bigint      NOT NULL,
    chunks        bigint      NOT NULL,
    last_sequence bigint      NOT NULL,
    hash          bytea       NOT NULL,
    reference     text,
    created_at    timestamptz NOT NULL,
    touched_at    timestamptz NOT NULL
);

CREATE INDEX IF NOT EXISTS idx_agent_blobs_account ON agent_blobs (account_id, size);
CREATE INDEX IF NOT EXISTS idx_agent_blobs_open ON agent_blobs (touched_at) WHERE reference IS NULL;
CREATE INDEX IF NOT EXISTS idx_agent_blobs_complete ON agent_blobs (created_at) WHERE reference IS NOT NULL;

-- Who has named a blob to whom. Whether that lets the receiver read it depends on the sender's own right. Rows are locked after that
-- of their blob, in the order of the key.
CREATE TABLE IF NOT EXISTS agent_blob_shares (
    blob_id      text COLLATE "C" NOT NULL,
    from_account text COLLATE "C" NOT NULL,
    receiver     text COLLATE "C" NOT NULL,
    PRIMARY KEY (blob_id, from_account, receiver)
);

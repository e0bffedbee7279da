-- Blobs that a registry keeps for the members of a secure network: their pieces are in the object store, here is whose they are and
-- who may read them.

-- One blob. object names its pieces; last_sequence is the number of the newest one in their stream. hash is the state of its SHA-256
-- while pieces are missing; reference is set once it is complete.
CREATE TABLE agent_blobs (
    blob_id       TEXT    NOT NULL PRIMARY KEY,
    account_id    TEXT    NOT NULL,
    object        TEXT    NOT NULL,
    size          INTEGER NOT NULL,
    chunks        INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    hash          BLOB    NOT NULL,
    reference     TEXT,
    created_at    INTEGER NOT NULL,
    touched_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_blobs_account ON agent_blobs (account_id, size);
CREATE INDEX idx_agent_blobs_open ON agent_blobs (touched_at) WHERE reference IS NULL;
CREATE INDEX idx_agent_blobs_complete ON agent_blobs (created_at) WHERE reference IS NOT NULL;

-- Who has named a blob to whom. Whether that lets the receiver read it depends on the sender's own right.
CREATE TABLE agent_blob_shares (
    blob_id      TEXT NOT NULL,
    from_account TEXT NOT NULL,
    receiver     TEXT NOT NULL,
    PRIMARY KEY (blob_id, from_account, receiver)
) STRICT, WITHOUT ROWID;

-- The secure mode: members with their credentials, invites, and what each account may see of the history.

-- The account of the credential that sent the message, as the broker proves it; NULL for what came in token mode.
ALTER TABLE agent_messages ADD COLUMN issuer TEXT;

-- The members of the network. Their usernames are those of their accounts. capabilities and may_send_to are JSON arrays;
-- may_send_to is NULL for a member that may send to every account.
CREATE TABLE agent_members (
    account_id   TEXT    NOT NULL PRIMARY KEY,
    role         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    nkey         TEXT,
    capabilities TEXT    NOT NULL,
    may_send_to  TEXT,
    created_at   INTEGER NOT NULL,
    enrolled_at  INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX idx_agent_members_nkey ON agent_members (nkey) WHERE nkey IS NOT NULL;

CREATE TABLE agent_invites (
    invite_id  TEXT    NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL,
    secret     BLOB    NOT NULL,
    join_nkey  TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_invites_account ON agent_invites (account_id);
CREATE INDEX idx_agent_invites_expires ON agent_invites (expires_at);

-- The part of a thread that one account may see: the counters of the messages that it issued or received. Messages without an
-- issuer are not counted, so there are no rows in token mode. participants is a JSON array.
CREATE TABLE agent_thread_views (
    thread_id             TEXT    NOT NULL,
    account_id            TEXT    NOT NULL,
    thread_id_search      TEXT    NOT NULL,
    created_by_account_id TEXT,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    message_count         INTEGER NOT NULL,
    byte_count            INTEGER NOT NULL,
    approx_tokens         INTEGER NOT NULL,
    latest_checkpoint_end INTEGER NOT NULL,
    last_message_at       INTEGER NOT NULL,
    participants          TEXT    NOT NULL,
    PRIMARY KEY (thread_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_thread_views_account ON agent_thread_views (account_id, last_message_at, thread_id);

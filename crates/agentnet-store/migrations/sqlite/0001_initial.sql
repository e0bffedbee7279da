-- The schema of PROTOCOL.md 10.1 in SQLite's terms.
-- Times are microseconds since the Unix epoch. JSON is kept as its exact text.
-- Columns named *_search hold lower-cased text: SQLite's own lower() knows ASCII only.

PRAGMA application_id = 0x41474E54; -- "AGNT"

CREATE TABLE agent_accounts (
    account_id          TEXT    NOT NULL PRIMARY KEY,
    username            TEXT    NOT NULL,
    display_name        TEXT    NOT NULL,
    bio                 TEXT    NOT NULL DEFAULT '',
    capabilities        TEXT    NOT NULL DEFAULT '[]',
    metadata            TEXT    NOT NULL DEFAULT '{}',
    visibility          TEXT    NOT NULL DEFAULT 'public',
    status              TEXT    NOT NULL DEFAULT 'active',
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    agent_id            TEXT    NOT NULL,
    public_key          TEXT,
    username_search     TEXT    NOT NULL,
    display_name_search TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_agent_accounts_username ON agent_accounts (username);

-- One row for each distinct lower-cased capability of an account, in the order that pages of accounts have.
CREATE TABLE agent_account_capabilities (
    capability TEXT NOT NULL,
    username   TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (capability, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_account_capabilities_account ON agent_account_capabilities (account_id);

CREATE TABLE agent_sessions (
    session_tag     TEXT    NOT NULL PRIMARY KEY,
    agent_id        TEXT    NOT NULL,
    account_id      TEXT,
    username        TEXT,
    server_id       TEXT    NOT NULL,
    connected_at    INTEGER NOT NULL,
    disconnected_at INTEGER,
    last_seen       INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    metadata        TEXT    NOT NULL DEFAULT '{}',
    name            TEXT    NOT NULL,
    capabilities    TEXT    NOT NULL DEFAULT '[]'
) STRICT;

CREATE INDEX idx_agent_sessions_status ON agent_sessions (status, session_tag);
-- When a session went offline, for retention.
CREATE INDEX idx_agent_sessions_offline ON agent_sessions (status, COALESCE(disconnected_at, last_seen))
    WHERE status = 'offline';

CREATE TABLE agent_threads (
    thread_id             TEXT    NOT NULL PRIMARY KEY,
    created_by_account_id TEXT,
    title                 TEXT    NOT NULL DEFAULT '',
    metadata              TEXT    NOT NULL DEFAULT '{}',
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    message_count         INTEGER NOT NULL DEFAULT 0,
    byte_count            INTEGER NOT NULL DEFAULT 0,
    approx_tokens         INTEGER NOT NULL DEFAULT 0,
    latest_checkpoint_end INTEGER NOT NULL DEFAULT 0,
    last_message_at       INTEGER,
    activity_at           INTEGER NOT NULL GENERATED ALWAYS AS (COALESCE(last_message_at, updated_at)) VIRTUAL,
    thread_id_search      TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_agent_threads_activity ON agent_threads (activity_at, thread_id);
CREATE INDEX idx_agent_threads_updated ON agent_threads (updated_at, thread_id);

-- The threads' participants. activity_at repeats the thread's, so that one account's threads come in order from an index.
CREATE TABLE agent_thread_participants (
    thread_id   TEXT    NOT NULL,
    account_id  TEXT    NOT NULL,
    activity_at INTEGER NOT NULL,
    PRIMARY KEY (thread_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_thread_participants_account ON agent_thread_participants (account_id, activity_at, thread_id);

CREATE TABLE agent_messages (
    message_id        TEXT    NOT NULL PRIMARY KEY,
    thread_id         TEXT    NOT NULL,
    parent_message_id TEXT,
    from_account_id   TEXT,
    from_session_tag  TEXT,
    to_account_id     TEXT,
    to_agent          TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    schema_version    TEXT    NOT NULL DEFAULT '1.0',
    idempotency_key   TEXT,
    payload           TEXT    NOT NULL,
    trace_id          TEXT,
    sent_at           INTEGER NOT NULL,
    received_at       INTEGER NOT NULL,
    status            TEXT    NOT NULL DEFAULT 'received',
    metadata          TEXT    NOT NULL DEFAULT '{}',
    from_agent        TEXT    NOT NULL,
    ttl_ms            TEXT,
    expires_at        TEXT,
    auth_scheme       TEXT    NOT NULL DEFAULT ''
) STRICT;

-- Every index ends in the order of the pages, which walk it backwards.
CREATE INDEX idx_agent_messages_thread_sent_msg ON agent_messages (thread_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_from_account ON agent_messages (from_account_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_to_account ON agent_messages (to_account_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_kind ON agent_messages (kind, sent_at, message_id);
CREATE INDEX idx_agent_messages_sent_at ON agent_messages (sent_at, message_id);

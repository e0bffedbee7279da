-- A database as the original makes it (PROTOCOL.md section 10.1), and what it writes there.

CREATE TABLE agent_accounts (
    account_id text PRIMARY KEY,
    username text UNIQUE NOT NULL,
    display_name text NOT NULL,
    bio text NOT NULL DEFAULT '',
    capabilities jsonb NOT NULL DEFAULT '[]'::jsonb,
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    visibility text NOT NULL DEFAULT 'public',
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX idx_agent_accounts_username ON agent_accounts (username);

CREATE TABLE agent_sessions (
    session_tag text PRIMARY KEY,
    agent_id text NOT NULL,
    account_id text NULL,
    username text NULL,
    server_id text NOT NULL,
    connected_at timestamptz NOT NULL,
    disconnected_at timestamptz NULL,
    last_seen timestamptz NOT NULL,
    status text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb
);
CREATE INDEX idx_agent_sessions_agent_id ON agent_sessions (agent_id);
CREATE INDEX idx_agent_sessions_account_id ON agent_sessions (account_id);
CREATE INDEX idx_agent_sessions_status ON agent_sessions (status);
CREATE INDEX idx_agent_sessions_last_seen ON agent_sessions (last_seen);

CREATE TABLE agent_threads (
    thread_id text PRIMARY KEY,
    created_by_account_id text NULL,
    participants jsonb NOT NULL DEFAULT '[]'::jsonb,
    title text NOT NULL DEFAULT '',
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    message_count bigint NOT NULL DEFAULT 0,
    byte_count bigint NOT NULL DEFAULT 0,
    approx_tokens bigint NOT NULL DEFAULT 0,
    latest_checkpoint_end bigint NOT NULL DEFAULT 0,
    last_message_at timestamptz NULL
);

CREATE TABLE agent_messages (
    message_id text PRIMARY KEY,
    thread_id text NOT NULL,
    parent_message_id text NULL,
    from_account_id text NULL,
    from_session_tag text NULL,
    to_account_id text NULL,
    to_agent text NOT NULL,
    kind text NOT NULL,
    schema_version text NOT NULL DEFAULT '1.0',
    idempotency_key text NULL,
    payload jsonb NOT NULL DEFAULT '{}'::jsonb,
    trace_id text NULL,
    sent_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'received',
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb
);
CREATE INDEX idx_agent_messages_thread_id ON agent_messages (thread_id);
CREATE INDEX idx_agent_messages_sent_at ON agent_messages (sent_at);
CREATE INDEX idx_agent_messages_kind ON agent_messages (kind);
CREATE INDEX idx_agent_messages_idempotency_key ON agent_messages (idempotency_key);
CREATE INDEX idx_agent_messages_from_account ON agent_messages (from_account_id);
CREATE INDEX idx_agent_messages_to_account ON agent_messages (to_account_id);
CREATE INDEX idx_agent_messages_thread_sent_msg ON agent_messages (thread_id, sent_at DESC, message_id DESC);

INSERT INTO agent_accounts (account_id, username, display_name, bio, capabilities, metadata, created_at, updated_at) VALUES
    ('acct_01kalice', 'alice', 'ÄRGER Alice', 'wrote the first message', '["Chat", "sum"]',
     '{"agent_id": "alice_agent", "metadata": {"team": {"name": "réd", "lead": true}},
       "dev_auth_public_key": "c2lnbmVkLWJ5LXRoaXMta2V5"}', '2026-01-10T09:00:00Z', '2026-02-01T10:00:00Z'),
    ('acct_01kbob', 'bob', 'Bob', '', '["chat"]', '{"agent_id": "bob_agent", "metadata": {}}',
     '2026-01-10T09:00:01Z', '2026-02-01T10:00:01Z'),
    ('acct_01k1', 'a_b', 'One', '', '[]', '{}', '2026-01-10T09:00:02Z', '2026-01-10T09:00:02Z'),
    ('acct_01k2', 'a-c', 'Two', '', '[]', '{}', '2026-01-10T09:00:03Z', '2026-01-10T09:00:03Z'),
    ('acct_01k3', 'ab', 'Three', '', '[]', '{}', '2026-01-10T09:00:04Z', '2026-01-10T09:00:04Z');

-- Two ghosts of a crash, one that went in order.
INSERT INTO agent_sessions VALUES
    ('registry_01KGHOST', 'alice_agent', 'acct_01kalice', 'alice', 'registry', '2026-02-01T10:00:00Z', NULL,
     '2026-02-01T10:05:00Z', 'online', '{"name": "Alice", "capabilities": ["Chat"], "metadata": {"pid": 7}}'),
    ('registry_01KNAMELESS', 'worker', NULL, NULL, 'registry', '2026-02-01T10:00:00Z', NULL,
     '2026-02-01T10:06:00Z', 'online', '{}'),
    ('registry_01KGONE', 'bob_agent', 'acct_01kbob', 'bob', 'registry', '2026-02-01T10:00:00Z',
     '2026-02-01T11:00:00Z', '2026-02-01T11:00:00Z', 'offline',
     '{"name": "Bob", "capabilities": [], "metadata": {}}');

INSERT INTO agent_threads (thread_id, created_by_account_id, participants, created_at, updated_at, message_count,
                           byte_count, approx_tokens, latest_checkpoint_end, last_message_at) VALUES
    ('thread_one', 'acct_01kalice', '["acct_01kbob", "acct_01kalice"]', '2026-02-01T10:00:00Z',
     '2026-02-01T10:00:04Z', 5, 123, 33, 2, '2026-02-01T10:00:04Z'),
    ('Thread_ÄRGER', NULL, '[]', '2026-02-01T10:00:00Z', '2026-02-01T10:00:00Z', 0, 0, 0, 0, NULL);

INSERT INTO agent_messages (message_id, thread_id, from_account_id, from_session_tag, to_account_id, to_agent, kind,
                            schema_version, payload, trace_id, sent_at, received_at, metadata) VALUES
    ('m1', 'thread_one', 'acct_01kalice', 'registry_01KGHOST', 'acct_01kbob', 'acct_01kbob', 'direct', '1.1',
     '{"text": "héllo"}', 'm1', '2026-02-01T10:00:00Z', '2026-02-01T10:00:00.01Z',
     '{"ttl_ms": 30000, "expires_at": "2026-02-01T10:00:30Z", "auth_scheme": "dev-ed25519-v1"}'),
    ('m2', 'thread_one', 'acct_01kbob', NULL, 'acct_01kalice', 'acct_01kalice', 'request', '1.1',
     '{"text": "two", "n": 1.5, "id": "x"}', 'm2', '2026-02-01T10:00:01Z', '2026-02-01T10:00:01.01Z',
     '{"ttl_ms": 30000, "expires_at": "2026-02-01T10:00:31Z", "auth_scheme": ""}'),
    ('C3', 'thread_one', 'acct_01kbob', NULL, 'acct_01kalice', 'acct_01kalice', 'direct', '1.1',
     '{"type": "checkpoint", "covers_end": 2}', NULL, '2026-02-01T10:00:02Z', '2026-02-01T10:00:02.01Z', '{}'),
    ('b4', 'thread_one', NULL, NULL, NULL, 'capability:chat', 'direct', '1.0',
     'null', NULL, '2026-02-01T10:00:02Z', '2026-02-01T10:00:02.01Z', '{}'),
    ('m5', 'thread_one', 'acct_01kalice', NULL, 'acct_01kbob', 'acct_01kbob', 'direct', '1.1',
     '"plain"', NULL, '2026-02-01T10:00:04Z', '2026-02-01T10:00:04.01Z',
     '{"ttl_ms": null, "expires_at": null, "auth_scheme": ""}');

-- The schema of PROTOCOL.md 10.1. On a new database it makes everything; on one that the original wrote it only adds.
-- Text columns are in code point order ("C"), as on the wire; so are the indexes that give pages their order. A database of
-- the original has another collation and indexes without that order: those stay, and ours come beside them ("_page").
-- Columns that the original does not know may be NULL, so that its own writes go on working.

CREATE TABLE IF NOT EXISTS agent_accounts (
    account_id   text COLLATE "C" PRIMARY KEY,
    username     text COLLATE "C" NOT NULL UNIQUE,
    display_name text        NOT NULL,
    bio          text        NOT NULL DEFAULT '',
    capabilities jsonb       NOT NULL DEFAULT '[]',
    metadata     jsonb       NOT NULL DEFAULT '{}',
    visibility   text        NOT NULL DEFAULT 'public',
    status       text        NOT NULL DEFAULT 'active',
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
-- Lower-cased display name; the lower-cased, distinct capabilities; the agent's metadata where jsonb would change its text.
ALTER TABLE agent_accounts ADD COLUMN IF NOT EXISTS display_name_search text;
ALTER TABLE agent_accounts ADD COLUMN IF NOT EXISTS capabilities_search text[];
ALTER TABLE agent_accounts ADD COLUMN IF NOT EXISTS metadata_text text;
-- Accounts that another program wrote: their search columns are filled at the next start.
CREATE INDEX IF NOT EXISTS idx_agent_accounts_foreign ON agent_accounts (account_id) WHERE capabilities_search IS NULL;
CREATE INDEX IF NOT EXISTS idx_agent_accounts_capabilities ON agent_accounts USING gin (capabilities_search);

CREATE TABLE IF NOT EXISTS agent_sessions (
    session_tag     text COLLATE "C" PRIMARY KEY,
    agent_id        text        NOT NULL,
    account_id      text,
    username        text,
    server_id       text        NOT NULL,
    connected_at    timestamptz NOT NULL,
    disconnected_at timestamptz,
    last_seen       timestamptz NOT NULL,
    status          text        NOT NULL,
    metadata        jsonb       NOT NULL DEFAULT '{}'
);
ALTER TABLE agent_sessions ADD COLUMN IF NOT EXISTS metadata_text text;
CREATE INDEX IF NOT EXISTS idx_agent_sessions_agent_id ON agent_sessions (agent_id);
CREATE INDEX IF NOT EXISTS idx_agent_sessions_account_id ON agent_sessions (account_id);
CREATE INDEX IF NOT EXISTS idx_agent_sessions_status ON agent_sessions (status);
CREATE INDEX IF NOT EXISTS idx_agent_sessions_last_seen ON agent_sessions (last_seen);
-- When a session went offline, for retention.
CREATE INDEX IF NOT EXISTS idx_agent_sessions_offline ON agent_sessions (COALESCE(disconnected_at, last_seen))
    WHERE status = 'offline';

CREATE TABLE IF NOT EXISTS agent_threads (
    thread_id             text COLLATE "C" PRIMARY KEY,
    created_by_account_id text,
    participants          jsonb       NOT NULL DEFAULT '[]',
    title                 text        NOT NULL DEFAULT '',
    metadata              jsonb       NOT NULL DEFAULT '{}',
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    message_count         bigint      NOT NULL DEFAULT 0,
    byte_count            bigint      NOT NULL DEFAULT 0,
    approx_tokens         bigint      NOT NULL DEFAULT 0,
    latest_checkpoint_end bigint      NOT NULL DEFAULT 0,
    last_message_at       timestamptz
);
-- The lower-cased id.
ALTER TABLE agent_threads ADD COLUMN IF NOT EXISTS thread_id_search text;
CREATE INDEX IF NOT EXISTS idx_agent_threads_foreign ON agent_threads (thread_id) WHERE thread_id_search IS NULL;
CREATE INDEX IF NOT EXISTS idx_agent_threads_participants ON agent_threads USING gin (participants);
CREATE INDEX IF NOT EXISTS idx_agent_threads_activity
    ON agent_threads (COALESCE(last_message_at, updated_at), thread_id COLLATE "C");
CREATE INDEX IF NOT EXISTS idx_agent_threads_updated ON agent_threads (updated_at, thread_id COLLATE "C");

CREATE TABLE IF NOT EXISTS agent_messages (
    message_id        text COLLATE "C" PRIMARY KEY,
    thread_id         text        NOT NULL,
    parent_message_id text,
    from_account_id   text,
    from_session_tag  text,
    to_account_id     text,
    to_agent          text        NOT NULL,
    kind              text        NOT NULL,
    schema_version    text        NOT NULL DEFAULT '1.0',
    idempotency_key   text,
    payload           jsonb       NOT NULL DEFAULT '{}',
    trace_id          text,
    sent_at           timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    status            text        NOT NULL DEFAULT 'received',
    metadata          jsonb       NOT NULL DEFAULT '{}'
);
ALTER TABLE agent_messages ADD COLUMN IF NOT EXISTS from_agent text;
-- The payload's exact text where jsonb would change it.
ALTER TABLE agent_messages ADD COLUMN IF NOT EXISTS payload_text text;
CREATE INDEX IF NOT EXISTS idx_agent_messages_thread_id ON agent_messages (thread_id);
CREATE INDEX IF NOT EXISTS idx_agent_messages_idempotency_key ON agent_messages (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- The indexes that pages walk: under the original's name, or beside the original's index of that name.
DO $$
DECLARE
    wanted record;
    found text;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('idx_agent_accounts_username', 'agent_accounts', 'username COLLATE "C"'),
            ('idx_agent_messages_thread_sent_msg', 'agent_messages',
                'thread_id, sent_at DESC, message_id COLLATE "C" DESC'),
            ('idx_agent_messages_from_account', 'agent_messages',
                'from_account_id, sent_at DESC, message_id COLLATE "C" DESC'),
            ('idx_agent_messages_to_account', 'agent_messages',
                'to_account_id, sent_at DESC, message_id COLLATE "C" DESC'),
            ('idx_agent_messages_kind', 'agent_messages', 'kind, sent_at DESC, message_id COLLATE "C" DESC'),
            ('idx_agent_messages_sent_at', 'agent_messages', 'sent_at DESC, message_id COLLATE "C" DESC')
        ) AS wanted (name, place, columns)
    LOOP
        found := to_regclass(wanted.name)::text;
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (%s)',
            CASE WHEN found IS NULL THEN wanted.name ELSE wanted.name || '_page' END, wanted.place, wanted.columns);
    END LOOP;
END
$$;

-- Substring search over names, where the trigram extension is there or may be added.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX IF NOT EXISTS idx_agent_accounts_username_trgm
            ON agent_accounts USING gin (username gin_trgm_ops);
        CREATE INDEX IF NOT EXISTS idx_agent_accounts_display_name_trgm
            ON agent_accounts USING gin (COALESCE(display_name_search, lower(display_name)) gin_trgm_ops);
    END IF;
EXCEPTION
    -- No right to add it, or it lives in a schema that is not searched: names are then searched without it.
    WHEN insufficient_privilege OR undefined_object OR undefined_file OR feature_not_supported THEN NULL;
END
$$;

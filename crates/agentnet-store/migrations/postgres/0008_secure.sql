-- The secure mode: members with their credentials, invites, and what each account may see of the history.

-- The account of the credential that sent the message, as the broker proves it; NULL for what came in token mode.
ALTER TABLE agent_messages ADD COLUMN IF NOT EXISTS issuer text;

-- The members of the network. Their usernames are those of their accounts. capabilities and may_send_to are JSON arrays;
-- may_send_to is NULL for a member that may send to every account. Rows are locked after those of agent_accounts. account_id has
-- no collation of its own: so that of agent_accounts decides, and its index is found.
CREATE TABLE IF NOT EXISTS agent_members (
    account_id   text        NOT NULL PRIMARY KEY,
    role         text        NOT NULL,
    state        text        NOT NULL,
    nkey         text,
    capabilities jsonb       NOT NULL,
    may_send_to  jsonb,
    created_at   timestamptz NOT NULL,
    enrolled_at  timestamptz,
    revoked_at   timestamptz
);

CREATE INDEX IF NOT EXISTS idx_agent_members_page ON agent_members (account_id COLLATE "C");
CREATE UNIQUE INDEX IF NOT EXISTS idx_agent_members_nkey ON agent_members (nkey) WHERE nkey IS NOT NULL;

-- Rows are locked after those of agent_members.
CREATE TABLE IF NOT EXISTS agent_invites (
    invite_id  text        NOT NULL PRIMARY KEY,
    account_id text        NOT NULL,
    secret     bytea       NOT NULL,
    join_nkey  text        NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE INDEX IF NOT EXISTS idx_agent_invites_account ON agent_invites (account_id);
CREATE INDEX IF NOT EXISTS idx_agent_invites_expires ON agent_invites (expires_at);

-- The part of a thread that one account may see: the counters of the messages that it issued or received. Messages without an
-- issuer are not counted, so there are no rows in token mode. Rows are locked after those of agent_threads, in the order of the
-- key.
CREATE TABLE IF NOT EXISTS agent_thread_views (
    thread_id             text COLLATE "C" NOT NULL,
    account_id            text COLLATE "C" NOT NULL,
    thread_id_search      text        NOT NULL,
    created_by_account_id text,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    message_count         bigint      NOT NULL,
    byte_count            bigint      NOT NULL,
    approx_tokens         bigint      NOT NULL,
    latest_checkpoint_end bigint      NOT NULL,
    last_message_at       timestamptz NOT NULL,
    participants          jsonb       NOT NULL,
    PRIMARY KEY (thread_id, account_id)
);

CREATE INDEX IF NOT EXISTS idx_agent_thread_views_account
    ON agent_thread_views (account_id, last_message_at DESC, thread_id DESC);

-- A PostgreSQL database as the registry of commit 3bec278 wrote it (schema 3): three registrations, five messages, one goodbye.
-- What `pg_dump --no-owner --no-privileges --column-inserts` gives, without its comments and settings.
SELECT pg_catalog.set_config('search_path', '', false);
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE TABLE public.agent_accounts (
    account_id text NOT NULL COLLATE pg_catalog."C",
    username text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL,
    bio text DEFAULT ''::text NOT NULL,
    capabilities jsonb DEFAULT '[]'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    visibility text DEFAULT 'public'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    display_name_search text,
    capabilities_search text[],
    metadata_text text
);
CREATE TABLE public.agent_messages (
    message_id text NOT NULL COLLATE pg_catalog."C",
    thread_id text NOT NULL,
    parent_message_id text,
    from_account_id text,
    from_session_tag text,
    to_account_id text,
    to_agent text NOT NULL,
    kind text NOT NULL,
    schema_version text DEFAULT '1.0'::text NOT NULL,
    idempotency_key text,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    trace_id text,
    sent_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    status text DEFAULT 'received'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    from_agent text,
    payload_text text
);
CREATE TABLE public.agent_sessions (
    session_tag text NOT NULL COLLATE pg_catalog."C",
    agent_id text NOT NULL,
    account_id text,
    username text,
    server_id text NOT NULL,
    connected_at timestamp with time zone NOT NULL,
    disconnected_at timestamp with time zone,
    last_seen timestamp with time zone NOT NULL,
    status text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata_text text
);
CREATE TABLE public.agent_threads (
    thread_id text NOT NULL COLLATE pg_catalog."C",
    created_by_account_id text,
    participants jsonb DEFAULT '[]'::jsonb NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    message_count bigint DEFAULT 0 NOT NULL,
    byte_count bigint DEFAULT 0 NOT NULL,
    approx_tokens bigint DEFAULT 0 NOT NULL,
    latest_checkpoint_end bigint DEFAULT 0 NOT NULL,
    last_message_at timestamp with time zone,
    thread_id_search text
);
CREATE TABLE public.agentnet_schema_versions (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO public.agent_accounts (account_id, username, display_name, bio, capabilities, metadata, visibility, status, created_at, updated_at, display_name_search, capabilities_search, metadata_text) VALUES ('acct_01m8kjmzs3dh87ttz3t98spr64', 'alice', 'Alice Ärger', '', '["Chat", "sum"]', '{"agent_id": "alice_agent", "metadata": {"team": "réd"}}', 'public', 'active', '2026-11-29 11:57:06.211313+00', '2026-11-29 11:57:06.211313+00', 'alice ärger', '{chat,sum}', '{"team":"réd"}');
INSERT INTO public.agent_accounts (account_id, username, display_name, bio, capabilities, metadata, visibility, status, created_at, updated_at, display_name_search, capabilities_search, metadata_text) VALUES ('acct_01m8kjmztyxmc483c30w8xty5b', 'bob', 'bob_agent', '', '["sum"]', '{"agent_id": "bob_agent", "metadata": {}}', 'public', 'active', '2026-11-29 11:57:06.270584+00', '2026-11-29 11:57:06.270584+00', 'bob_agent', '{sum}', NULL);
INSERT INTO public.agent_accounts (account_id, username, display_name, bio, capabilities, metadata, visibility, status, created_at, updated_at, display_name_search, capabilities_search, metadata_text) VALUES ('acct_01m8kjmzv88mjpexwgge9sk29g', 'carol', 'carol_agent', '', '[]', '{"agent_id": "carol_agent", "metadata": {}}', 'public', 'active', '2026-11-29 11:57:06.28019+00', '2026-11-29 11:57:06.28019+00', 'carol_agent', '{}', NULL);
INSERT INTO public.agent_messages (message_id, thread_id, parent_message_id, from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, status, metadata, from_agent, payload_text) VALUES ('m1', 't1', NULL, 'acct_01m8kjmzs3dh87ttz3t98spr64', NULL, 'acct_01m8kjmztyxmc483c30w8xty5b', 'acct_01m8kjmztyxmc483c30w8xty5b', 'message', '1.0', 'key_m1', '{"text": "héllo"}', NULL, '2026-11-27 20:30:00+00', '2026-11-29 11:57:06.28481+00', 'received', '{"ttl_ms": 30000, "expires_at": null, "auth_scheme": ""}', 'x', '{"text":"héllo"}');
INSERT INTO public.agent_messages (message_id, thread_id, parent_message_id, from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, status, metadata, from_agent, payload_text) VALUES ('m2', 't1', NULL, 'acct_01m8kjmztyxmc483c30w8xty5b', NULL, 'acct_01m8kjmzs3dh87ttz3t98spr64', 'acct_01m8kjmzs3dh87ttz3t98spr64', 'message', '1.0', 'key_m2', '{"n": 1.5, "text": "two"}', NULL, '2026-11-27 20:30:01+00', '2026-11-29 11:57:06.286606+00', 'received', '{"ttl_ms": 30000, "expires_at": null, "auth_scheme": ""}', 'x', NULL);
INSERT INTO public.agent_messages (message_id, thread_id, parent_message_id, from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, status, metadata, from_agent, payload_text) VALUES ('m3', 't1', NULL, 'acct_01m8kjmzs3dh87ttz3t98spr64', NULL, 'acct_01m8kjmztyxmc483c30w8xty5b', 'acct_01m8kjmztyxmc483c30w8xty5b', 'system', '1.0', 'key_m3', '{"type": "checkpoint", "summary": "s", "covers_end": 2}', NULL, '2026-11-27 20:30:02+00', '2026-11-29 11:57:06.286628+00', 'received', '{"ttl_ms": 30000, "expires_at": null, "auth_scheme": ""}', 'x', '{"type":"checkpoint","covers_end":2,"summary":"s"}');
INSERT INTO public.agent_messages (message_id, thread_id, parent_message_id, from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, status, metadata, from_agent, payload_text) VALUES ('m4', 't1', NULL, 'acct_01m8kjmzs3dh87ttz3t98spr64', NULL, 'acct_01m8kjmztyxmc483c30w8xty5b', 'acct_01m8kjmztyxmc483c30w8xty5b', 'request', '1.0', 'key_m4', '"plain"', NULL, '2026-11-27 20:30:03+00', '2026-11-29 11:57:06.286844+00', 'received', '{"ttl_ms": 30000, "expires_at": null, "auth_scheme": ""}', 'x', NULL);
INSERT INTO public.agent_messages (message_id, thread_id, parent_message_id, from_account_id, from_session_tag, to_account_id, to_agent, kind, schema_version, idempotency_key, payload, trace_id, sent_at, received_at, status, metadata, from_agent, payload_text) VALUES ('other', 't2', NULL, 'acct_01m8kjmztyxmc483c30w8xty5b', NULL, NULL, 'capability:sum', 'direct', '1.0', NULL, '{"text": "sum"}', NULL, '2026-11-27 20:31:00+00', '2026-11-29 11:57:06.286857+00', 'received', '{"ttl_ms": null, "expires_at": null, "auth_scheme": ""}', 'x', NULL);
INSERT INTO public.agent_sessions (session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, status, metadata, metadata_text) VALUES ('registry_01M8KJMZS3XMJB72RX8ESHM9T4', 'alice_agent', 'acct_01m8kjmzs3dh87ttz3t98spr64', 'alice', 'registry', '2026-11-29 11:57:06.211313+00', NULL, '2026-11-29 11:57:06.211313+00', 'online', '{"name": "Alice Ärger", "metadata": {"team": "réd"}, "capabilities": ["Chat", "sum"]}', '{"team":"réd"}');
INSERT INTO public.agent_sessions (session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, status, metadata, metadata_text) VALUES ('registry_01M8KJMZTYWEEHHC3HBDKR5K9A', 'bob_agent', 'acct_01m8kjmztyxmc483c30w8xty5b', 'bob', 'registry', '2026-11-29 11:57:06.270584+00', NULL, '2026-11-29 11:57:06.270584+00', 'online', '{"name": "bob_agent", "metadata": {}, "capabilities": ["sum"]}', NULL);
INSERT INTO public.agent_sessions (session_tag, agent_id, account_id, username, server_id, connected_at, disconnected_at, last_seen, status, metadata, metadata_text) VALUES ('registry_01M8KJMZV851XGQ76FPDJ8VSYP', 'carol_agent', 'acct_01m8kjmzv88mjpexwgge9sk29g', 'carol', 'registry', '2026-11-29 11:57:06.28019+00', '2026-11-29 11:57:06.287531+00', '2026-11-29 11:57:06.287531+00', 'offline', '{"name": "carol_agent", "metadata": {}, "capabilities": []}', NULL);
INSERT INTO public.agent_threads (thread_id, created_by_account_id, participants, title, metadata, created_at, updated_at, message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at, thread_id_search) VALUES ('t1', 'acct_01m8kjmzs3dh87ttz3t98spr64', '["acct_01m8kjmzs3dh87ttz3t98spr64", "acct_01m8kjmztyxmc483c30w8xty5b"]', '', '{}', '2026-11-29 11:57:06.28481+00', '2026-11-29 11:57:06.286844+00', 4, 109, 29, 2, '2026-11-27 20:30:03+00', 't1');
INSERT INTO public.agent_threads (thread_id, created_by_account_id, participants, title, metadata, created_at, updated_at, message_count, byte_count, approx_tokens, latest_checkpoint_end, last_message_at, thread_id_search) VALUES ('t2', 'acct_01m8kjmztyxmc483c30w8xty5b', '["acct_01m8kjmztyxmc483c30w8xty5b"]', '', '{}', '2026-11-29 11:57:06.286857+00', '2026-11-29 11:57:06.286857+00', 1, 15, 4, 0, '2026-11-27 20:31:00+00', 't2');
INSERT INTO public.agentnet_schema_versions (version, description, installed_on, success, checksum, execution_time) VALUES (1, 'initial', '2026-11-29 11:57:06.101192+00', true, '\xd88c494fb6256f20e63a519e45d3b21c7c07dbd2d8f0d8f16495cace032109e66adb185e66cf44503cacf1f1ba544cc5', 33283793);
INSERT INTO public.agentnet_schema_versions (version, description, installed_on, success, checksum, execution_time) VALUES (2, 'thread_kind', '2026-11-29 11:57:06.101192+00', true, '\x4bed0712b30c0539f09c0099e8c2ed48047834f5929376c361a29e3e44b66d904ba8a7d51bc2914798c1921ea1702847', 894281);
INSERT INTO public.agentnet_schema_versions (version, description, installed_on, success, checksum, execution_time) VALUES (3, 'from_to', '2026-11-29 11:57:06.101192+00', true, '\x29dd1a195ad8288cdeda7518e2eb4a58ba16dad9a9a2aad21afa4294f13562e1fc1487c34c07f18e14158d8275f462db', 872791);
ALTER TABLE ONLY public.agent_accounts
    ADD CONSTRAINT agent_accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY public.agent_accounts
    ADD CONSTRAINT agent_accounts_username_key UNIQUE (username);
ALTER TABLE ONLY public.agent_messages
    ADD CONSTRAINT agent_messages_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY public.agent_sessions
    ADD CONSTRAINT agent_sessions_pkey PRIMARY KEY (session_tag);
ALTER TABLE ONLY public.agent_threads
    ADD CONSTRAINT agent_threads_pkey PRIMARY KEY (thread_id);
ALTER TABLE ONLY public.agentnet_schema_versions
    ADD CONSTRAINT agentnet_schema_versions_pkey PRIMARY KEY (version);
CREATE INDEX idx_agent_accounts_capabilities ON public.agent_accounts USING gin (capabilities_search);
CREATE INDEX idx_agent_accounts_display_name_trgm ON public.agent_accounts USING gin (COALESCE(display_name_search, lower(display_name)) public.gin_trgm_ops);
CREATE INDEX idx_agent_accounts_foreign ON public.agent_accounts USING btree (account_id) WHERE (capabilities_search IS NULL);
CREATE INDEX idx_agent_accounts_username ON public.agent_accounts USING btree (username);
CREATE INDEX idx_agent_accounts_username_trgm ON public.agent_accounts USING gin (username public.gin_trgm_ops);
CREATE INDEX idx_agent_messages_from_account ON public.agent_messages USING btree (from_account_id, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_from_to ON public.agent_messages USING btree (from_account_id, to_account_id, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_idempotency_key ON public.agent_messages USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX idx_agent_messages_kind ON public.agent_messages USING btree (kind, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_sent_at ON public.agent_messages USING btree (sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_thread_id ON public.agent_messages USING btree (thread_id);
CREATE INDEX idx_agent_messages_thread_kind ON public.agent_messages USING btree (thread_id, kind, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_thread_sent_msg ON public.agent_messages USING btree (thread_id, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_messages_to_account ON public.agent_messages USING btree (to_account_id, sent_at DESC, message_id DESC);
CREATE INDEX idx_agent_sessions_account_id ON public.agent_sessions USING btree (account_id);
CREATE INDEX idx_agent_sessions_agent_id ON public.agent_sessions USING btree (agent_id);
CREATE INDEX idx_agent_sessions_last_seen ON public.agent_sessions USING btree (last_seen);
CREATE INDEX idx_agent_sessions_offline ON public.agent_sessions USING btree (COALESCE(disconnected_at, last_seen)) WHERE (status = 'offline'::text);
CREATE INDEX idx_agent_sessions_status ON public.agent_sessions USING btree (status);
CREATE INDEX idx_agent_threads_activity ON public.agent_threads USING btree (COALESCE(last_message_at, updated_at), thread_id);
CREATE INDEX idx_agent_threads_foreign ON public.agent_threads USING btree (thread_id) WHERE (thread_id_search IS NULL);
CREATE INDEX idx_agent_threads_participants ON public.agent_threads USING gin (participants);
CREATE INDEX idx_agent_threads_updated ON public.agent_threads USING btree (updated_at, thread_id);

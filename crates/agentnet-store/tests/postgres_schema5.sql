-- What schema 5 of PostgreSQL adds to postgres_schema4.sql: its migration as that version ran it, and what a registry wrote then.
INSERT INTO public.agentnet_schema_versions (version, description, installed_on, success, checksum, execution_time) VALUES (5, 'mailbox', '2026-12-09 10:21:40.511873+00', true, '\x8806411e67978fecf2743d1bc05923b76f2847d03233a89222c37c283085c0c316ac3133a08357bd34f3ae58926bf106', 1874210);
CREATE TABLE public.agent_mailbox (
    seq bigint NOT NULL,
    account_id text COLLATE pg_catalog."C" NOT NULL,
    message_id text COLLATE pg_catalog."C" NOT NULL,
    from_account_id text COLLATE pg_catalog."C" NOT NULL,
    thread_id text NOT NULL,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    ack text NOT NULL,
    state text COLLATE pg_catalog."C" NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    available_at timestamp with time zone NOT NULL,
    lease text,
    lease_until timestamp with time zone,
    lease_session text,
    last_code text,
    last_detail text,
    queued_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    done_at timestamp with time zone,
    body text NOT NULL
);
CREATE SEQUENCE public.agent_mailbox_seq_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.agent_mailbox_seq_seq OWNED BY public.agent_mailbox.seq;
ALTER TABLE ONLY public.agent_mailbox ALTER COLUMN seq SET DEFAULT nextval('public.agent_mailbox_seq_seq'::regclass);
CREATE TABLE public.agent_mailbox_accounts (
    account_id text COLLATE pg_catalog."C" NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL
) WITH (fillfactor='50');
INSERT INTO public.agent_mailbox (seq, account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts, available_at, queued_at, expires_at, body) VALUES (1, 'acct_01m8kjmzs3dh87ttz3t98spr64', 'm_kept', 'acct_b', 't1', 'direct', 10, 'accepted', 'queued', 0, '2026-05-28 20:26:40+00', '2026-05-28 20:26:40+00', '2026-05-28 20:43:20+00', '{"b": 1.0}');
INSERT INTO public.agent_mailbox_accounts (account_id, messages, bytes) VALUES ('', 1, 10), ('acct_01m8kjmzs3dh87ttz3t98spr64', 1, 10);
SELECT pg_catalog.setval('public.agent_mailbox_seq_seq', 1, true);
ALTER TABLE ONLY public.agent_mailbox
    ADD CONSTRAINT agent_mailbox_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.agent_mailbox_accounts
    ADD CONSTRAINT agent_mailbox_accounts_pkey PRIMARY KEY (account_id);
CREATE INDEX idx_agent_mailbox_account ON public.agent_mailbox USING btree (account_id, state, seq);
CREATE INDEX idx_agent_mailbox_attempts ON public.agent_mailbox USING btree (state, attempts) WHERE ((done_at IS NULL) AND (attempts > 0));
CREATE INDEX idx_agent_mailbox_done ON public.agent_mailbox USING btree (state, done_at) WHERE (done_at IS NOT NULL);
CREATE INDEX idx_agent_mailbox_expires ON public.agent_mailbox USING btree (expires_at) WHERE (done_at IS NULL);
CREATE UNIQUE INDEX idx_agent_mailbox_message ON public.agent_mailbox USING btree (account_id, message_id);
CREATE INDEX idx_agent_mailbox_queued ON public.agent_mailbox USING btree (queued_at) WHERE (state = 'queued'::text);
CREATE INDEX idx_agent_mailbox_sender ON public.agent_mailbox USING btree (account_id, from_account_id, state);

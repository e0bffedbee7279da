-- Messages that wait for their receiver (PROTOCOL.md section 21).

-- done_at is set exactly while a message is 'done' or 'dead'. A 'done' message has no body: its row recognises a repetition.
CREATE TABLE IF NOT EXISTS agent_mailbox (
    seq             bigserial   PRIMARY KEY,
    account_id      text COLLATE "C" NOT NULL,
    message_id      text COLLATE "C" NOT NULL,
    from_account_id text COLLATE "C" NOT NULL,
    thread_id       text        NOT NULL,
    kind            text        NOT NULL,
    bytes           bigint      NOT NULL,
    ack             text        NOT NULL,
    state           text COLLATE "C" NOT NULL,
    attempts        bigint      NOT NULL DEFAULT 0,
    available_at    timestamptz NOT NULL,
    lease           text,
    lease_until     timestamptz,
    lease_session   text,
    last_code       text,
    last_detail     text,
    queued_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    done_at         timestamptz,
    body            text        NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS idx_agent_mailbox_message ON agent_mailbox (account_id, message_id);
-- The order of delivery.
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_account ON agent_mailbox (account_id, state, seq);
-- How much one sender has left for one account.
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_sender ON agent_mailbox (account_id, from_account_id, state);
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_expires ON agent_mailbox (expires_at) WHERE done_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_attempts ON agent_mailbox (state, attempts)
    WHERE done_at IS NULL AND attempts > 0;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_done ON agent_mailbox (state, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_queued ON agent_mailbox (queued_at) WHERE state = 'queued';

-- What the mailbox of an account keeps: messages that wait or are leased; bytes of these and of dead ones.
-- The row of the empty account id is the sum of all. Every change of a mailbox locks its row before it takes a seq, so that the
-- order of seq is the order of commits. Rows are never deleted. Space in each page for new versions of its rows.
CREATE TABLE IF NOT EXISTS agent_mailbox_accounts (
    account_id text COLLATE "C" NOT NULL PRIMARY KEY,
    messages   bigint NOT NULL DEFAULT 0,
    bytes      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

INSERT INTO agent_mailbox_accounts (account_id) VALUES ('') ON CONFLICT (account_id) DO NOTHING;

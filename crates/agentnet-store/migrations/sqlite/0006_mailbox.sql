-- Messages that wait for their receiver (PROTOCOL.md section 21).

-- done_at is set exactly while a message is 'done' or 'dead'. A 'done' message has no body: its row recognises a repetition.
CREATE TABLE agent_mailbox (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id      TEXT    NOT NULL,
    message_id      TEXT    NOT NULL,
    from_account_id TEXT    NOT NULL,
    thread_id       TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    bytes           INTEGER NOT NULL,
    ack             TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    available_at    INTEGER NOT NULL,
    lease           TEXT,
    lease_until     INTEGER,
    lease_session   TEXT,
    last_code       TEXT,
    last_detail     TEXT,
    queued_at       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    done_at         INTEGER,
    -- Last, since SQLite reads through long values to reach the columns behind them.
    body            TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_agent_mailbox_message ON agent_mailbox (account_id, message_id);
-- The order of delivery.
CREATE INDEX idx_agent_mailbox_account ON agent_mailbox (account_id, state, seq);
-- How much one sender has left for one account.
CREATE INDEX idx_agent_mailbox_sender ON agent_mailbox (account_id, from_account_id, state);
CREATE INDEX idx_agent_mailbox_expires ON agent_mailbox (expires_at) WHERE done_at IS NULL;
CREATE INDEX idx_agent_mailbox_attempts ON agent_mailbox (state, attempts) WHERE done_at IS NULL AND attempts > 0;
CREATE INDEX idx_agent_mailbox_done ON agent_mailbox (state, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX idx_agent_mailbox_queued ON agent_mailbox (queued_at) WHERE state = 'queued';

-- What the mailbox of an account keeps: messages that wait or are leased; bytes of these and of dead ones.
-- The row of the empty account id is the sum of all.
CREATE TABLE agent_mailbox_accounts (
    account_id TEXT    NOT NULL PRIMARY KEY,
    messages   INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO agent_mailbox_accounts (account_id) VALUES ('');

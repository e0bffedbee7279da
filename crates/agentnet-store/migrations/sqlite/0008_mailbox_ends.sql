-- Mailboxes: ends of messages that their senders still have to be told of, leases that ran out, and how long delivered messages
-- are remembered (PROTOCOL.md section 21).

-- A new table: SQLite reads through long values to reach the columns behind them, so body has to stay the last one.
--
-- done_at is set exactly while a message has ended: 'done', 'dead', 'expired' or 'dropped'. A 'done' message has no body, nor has
-- an expired or dropped one once its sender is told: their rows recognise a repetition until forget_at.
CREATE TABLE agent_mailbox_8 (
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
    -- Leases in a row that ran out without an acknowledgement while the message was the first one of its sender.
    lapses          INTEGER NOT NULL DEFAULT 0,
    available_at    INTEGER NOT NULL,
    lease           TEXT,
    lease_until     INTEGER,
    lease_session   TEXT,
    last_code       TEXT,
    last_detail     TEXT,
    queued_at       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    done_at         INTEGER,
    -- Set until the sender is told of the end; when that was last tried.
    untold_since    INTEGER,
    -- When the row is deleted; NULL for a message that waits, is leased or dead.
    forget_at       INTEGER,
    body            TEXT    NOT NULL
) STRICT;

-- Until now, a delivered message was forgotten after a day, also one that could be put in again.
INSERT INTO agent_mailbox_8 (seq, account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts,
    available_at, lease, lease_until, lease_session, last_code, last_detail, queued_at, expires_at, done_at, forget_at, body)
SELECT seq, account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts, available_at, lease,
    lease_until, lease_session, last_code, last_detail, queued_at, expires_at, done_at,
    CASE state WHEN 'done' THEN max(done_at + 86400000000, expires_at) END, body
FROM agent_mailbox ORDER BY seq;

-- Numbers of rows that were deleted are not given again.
DELETE FROM sqlite_sequence WHERE name = 'agent_mailbox_8';
INSERT INTO sqlite_sequence (name, seq) SELECT 'agent_mailbox_8', seq FROM sqlite_sequence WHERE name = 'agent_mailbox';
DROP TABLE agent_mailbox;
ALTER TABLE agent_mailbox_8 RENAME TO agent_mailbox;

CREATE UNIQUE INDEX idx_agent_mailbox_message ON agent_mailbox (account_id, message_id);
-- The order of delivery.
CREATE INDEX idx_agent_mailbox_account ON agent_mailbox (account_id, state, seq);
-- How much one sender has left for one account.
CREATE INDEX idx_agent_mailbox_sender ON agent_mailbox (account_id, from_account_id, state, bytes);
CREATE INDEX idx_agent_mailbox_expires ON agent_mailbox (expires_at) WHERE done_at IS NULL;
CREATE INDEX idx_agent_mailbox_attempts ON agent_mailbox (state, attempts) WHERE done_at IS NULL AND attempts > 0;
CREATE INDEX idx_agent_mailbox_done ON agent_mailbox (state, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX idx_agent_mailbox_queued ON agent_mailbox (queued_at) WHERE state = 'queued';
-- Leases of messages that are given out alone.
CREATE INDEX idx_agent_mailbox_alone ON agent_mailbox (account_id, lease_until) WHERE state = 'leased' AND lapses >= 2;
CREATE INDEX idx_agent_mailbox_untold ON agent_mailbox (untold_since) WHERE untold_since IS NOT NULL;
CREATE INDEX idx_agent_mailbox_forget ON agent_mailbox (forget_at) WHERE forget_at IS NOT NULL;

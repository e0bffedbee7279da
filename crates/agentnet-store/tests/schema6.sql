-- What schema 6 of SQLite adds to schema5.sql: its migration as that version ran it, and what a registry wrote then.
BEGIN TRANSACTION;
INSERT INTO "_sqlx_migrations" VALUES(6,'mailbox','2026-12-09 10:21:40',1,X'80F230B73F1F2D907D5650139898527F2B32E35C11185E8F7C67237B41D136C59A38FFCEE36379C433095188DFFA90B7',1874210);
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
    body            TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX idx_agent_mailbox_message ON agent_mailbox (account_id, message_id);
CREATE INDEX idx_agent_mailbox_account ON agent_mailbox (account_id, state, seq);
CREATE INDEX idx_agent_mailbox_sender ON agent_mailbox (account_id, from_account_id, state);
CREATE INDEX idx_agent_mailbox_expires ON agent_mailbox (expires_at) WHERE done_at IS NULL;
CREATE INDEX idx_agent_mailbox_attempts ON agent_mailbox (state, attempts) WHERE done_at IS NULL AND attempts > 0;
CREATE INDEX idx_agent_mailbox_done ON agent_mailbox (state, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX idx_agent_mailbox_queued ON agent_mailbox (queued_at) WHERE state = 'queued';
CREATE TABLE agent_mailbox_accounts (
    account_id TEXT    NOT NULL PRIMARY KEY,
    messages   INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO agent_mailbox_accounts (account_id) VALUES ('');
INSERT INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, bytes, ack, state, attempts, available_at, queued_at, expires_at, body) VALUES('acct_01m8k3af6bfr2a85ajwbz40c33','m_kept','acct_b','t1','direct',10,'accepted','queued',0,1780000000000000,1780000000000000,1780001000000000,'{"b": 1.0}');
INSERT INTO agent_mailbox_accounts VALUES('acct_01m8k3af6bfr2a85ajwbz40c33',1,10);
UPDATE agent_mailbox_accounts SET messages = 1, bytes = 10 WHERE account_id = '';
COMMIT;

-- A file of schema 4, after three messages: what `sqlite3 FILE .dump` gives.
PRAGMA application_id = 1095192148;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'initial','2026-11-29 07:28:51',1,X'E1C53F4E65838F4B04467EF2BC551EC57AAD4490089D406D55263E1FCAFA96F6A05FD49228DBE5C32BE44998208869E6',9314555);
INSERT INTO "_sqlx_migrations" VALUES(2,'signs','2026-11-29 07:28:51',1,X'5D89866597F0343AA728E9533A4E4BAF3DC0D4297FB28373DF0BE5751A37CCE23977F4DB35C2544CEB02D4F3C6230DCC',8978608);
INSERT INTO "_sqlx_migrations" VALUES(3,'thread_kind','2026-11-29 07:28:51',1,X'238DAC7E2B15B4536A4EBAAB2C25787EEBA5A23E6C0C21AC8A29483F0CDBFA234CB3BB9B393AE343819114846E056E75',979580);
INSERT INTO "_sqlx_migrations" VALUES(4,'from_to','2026-11-29 07:28:51',1,X'E13EC5141323EDFB7843DEEC2C24E0CDBAD901B382BB559A717EDAFEBE06DFE12397915B54C7DE1F1CF94F122A939DBD',2681270);
CREATE TABLE agent_account_capabilities (
    capability TEXT NOT NULL,
    username   TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (capability, username)
) STRICT, WITHOUT ROWID;
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
, signs TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "agent_accounts" VALUES('acct_01m8k39tqz3b9mp6xy19xtbjr3','echo','echo','','[]','{}','public','active',1795937331967262,1795937331967262,'cli_echo',NULL,'echo','echo','');
INSERT INTO "agent_accounts" VALUES('acct_01m8k3af6bfr2a85ajwbz40c33','alice','CLI Requester','','[]','{}','public','active',1795937352907672,1795937353007260,'cli_requester',NULL,'alice','cli requester','');
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
INSERT INTO "agent_messages" VALUES('01a226353d104c138592ca4a27371e42','t1',NULL,'acct_01m8k3af6bfr2a85ajwbz40c33','registry_01M8K3AF6BZQK4S524QY8WMJDV','acct_01m8k39tqz3b9mp6xy19xtbjr3','acct_01m8k39tqz3b9mp6xy19xtbjr3','direct','1.1',NULL,'{"text":"hello from the first version"}','01a226353d104c138592ca4a27371e42',1795937352976290,1795937352976805,'received','{}','cli_sender','30000','2026-11-29T07:29:42.976290Z','');
INSERT INTO "agent_messages" VALUES('01a226353d4b4d86ae8ecc4b04db1345','t1',NULL,'acct_01m8k3af6bfr2a85ajwbz40c33','registry_01M8K3AF9FQHJW5B28DYJRWADP','acct_01m8k39tqz3b9mp6xy19xtbjr3','acct_01m8k39tqz3b9mp6xy19xtbjr3','request','1.1',NULL,'{"text":"and back"}','01a226353d4b4d86ae8ecc4b04db1345',1795937353035265,1795937353037270,'received','{}','cli_requester','30000','2026-11-29T07:29:43.035265Z','');
INSERT INTO "agent_messages" VALUES('01a226353d4d45a994d902378a925f6f','t1','01a226353d4b4d86ae8ecc4b04db1345','acct_01m8k39tqz3b9mp6xy19xtbjr3','registry_01M8K39TQZAN4AH5NG8X3PXK2Q','acct_01m8k3af6bfr2a85ajwbz40c33','acct_01m8k3af6bfr2a85ajwbz40c33','reply','1.1',NULL,'{"text":"and back"}','01a226353d4b4d86ae8ecc4b04db1345',1795937353037001,1795937353039198,'received','{}','cli_echo','30000','2026-11-29T07:29:43.037001Z','');
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
, signs TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "agent_sessions" VALUES('registry_01M8K39TQZAN4AH5NG8X3PXK2Q','cli_echo','acct_01m8k39tqz3b9mp6xy19xtbjr3','echo','registry',1795937331967262,1795937406295990,1795937406295990,'offline','{}','echo','[]','');
INSERT INTO "agent_sessions" VALUES('registry_01M8K3AF6BZQK4S524QY8WMJDV','cli_sender','acct_01m8k3af6bfr2a85ajwbz40c33','alice','registry',1795937352907672,1795937352982166,1795937352982166,'offline','{}','CLI Sender','[]','');
INSERT INTO "agent_sessions" VALUES('registry_01M8K3AF9FQHJW5B28DYJRWADP','cli_requester','acct_01m8k3af6bfr2a85ajwbz40c33','alice','registry',1795937353007260,1795937353041313,1795937353041313,'offline','{}','CLI Requester','[]','');
CREATE TABLE agent_thread_participants (
    thread_id   TEXT    NOT NULL,
    account_id  TEXT    NOT NULL,
    activity_at INTEGER NOT NULL,
    PRIMARY KEY (thread_id, account_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "agent_thread_participants" VALUES('t1','acct_01m8k39tqz3b9mp6xy19xtbjr3',1795937353037001);
INSERT INTO "agent_thread_participants" VALUES('t1','acct_01m8k3af6bfr2a85ajwbz40c33',1795937353037001);
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
INSERT INTO "agent_threads" VALUES('t1','acct_01m8k3af6bfr2a85ajwbz40c33','','{}',1795937352976805,1795937353039198,3,80,20,0,1795937353037001,'t1');
CREATE UNIQUE INDEX idx_agent_accounts_username ON agent_accounts (username);
CREATE INDEX idx_agent_account_capabilities_account ON agent_account_capabilities (account_id);
CREATE INDEX idx_agent_sessions_status ON agent_sessions (status, session_tag);
CREATE INDEX idx_agent_sessions_offline ON agent_sessions (status, COALESCE(disconnected_at, last_seen))
    WHERE status = 'offline';
CREATE INDEX idx_agent_threads_activity ON agent_threads (activity_at, thread_id);
CREATE INDEX idx_agent_threads_updated ON agent_threads (updated_at, thread_id);
CREATE INDEX idx_agent_thread_participants_account ON agent_thread_participants (account_id, activity_at, thread_id);
CREATE INDEX idx_agent_messages_thread_sent_msg ON agent_messages (thread_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_from_account ON agent_messages (from_account_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_to_account ON agent_messages (to_account_id, sent_at, message_id);
CREATE INDEX idx_agent_messages_kind ON agent_messages (kind, sent_at, message_id);
CREATE INDEX idx_agent_messages_sent_at ON agent_messages (sent_at, message_id);
CREATE INDEX idx_agent_messages_thread_kind ON agent_messages (thread_id, kind, sent_at, message_id);
CREATE INDEX idx_agent_messages_from_to ON agent_messages (from_account_id, to_account_id, sent_at, message_id);
COMMIT;

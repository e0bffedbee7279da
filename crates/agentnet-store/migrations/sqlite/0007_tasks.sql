-- Tasks: work that the registry keeps (PROTOCOL.md section 22).

-- finished_at is set exactly while a task has ended; lease, lease_session and lease_until while a session has it. due_at is when
-- time alone changes the task: the end of its lease, or its deadline.
CREATE TABLE agent_tasks (
    -- The order of creation.
    seq                    INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id                TEXT    NOT NULL,
    coordinator_account_id TEXT    NOT NULL,
    coordinator            TEXT,
    idempotency_key        TEXT,
    content_sha256         TEXT    NOT NULL,
    -- The capability of its workers; NULL for a task for the account assignee_account_id.
    capability             TEXT,
    -- The account that it is for, else that of its worker.
    assignee_account_id    TEXT,
    worker_account_id      TEXT,
    delivery               TEXT    NOT NULL,
    thread_id              TEXT    NOT NULL,
    parent_task_id         TEXT,
    priority               INTEGER NOT NULL,
    not_before             INTEGER NOT NULL,
    deadline_at            INTEGER,
    max_attempts           INTEGER NOT NULL,
    backoff_ms             INTEGER NOT NULL,
    heartbeat_ms           INTEGER NOT NULL,
    state                  TEXT    NOT NULL,
    attempt                INTEGER NOT NULL,
    lease                  TEXT,
    lease_session          TEXT,
    lease_until            INTEGER,
    heartbeat_at           INTEGER,
    cancel_requested_at    INTEGER,
    due_at                 INTEGER,
    finish_id              TEXT,
    -- Claims in a row after which nothing was heard of the worker, and releases in a row.
    unconfirmed            INTEGER NOT NULL,
    releases               INTEGER NOT NULL,
    -- Whether a message task.assign told the account, when the task was created.
    is_assigned_by_message INTEGER NOT NULL,
    code                   TEXT,
    progress_count         INTEGER NOT NULL,
    percent                INTEGER,
    phase                  TEXT,
    message_id             TEXT,
    event_count            INTEGER NOT NULL,
    event_bytes            INTEGER NOT NULL,
    revision               INTEGER NOT NULL,
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    finished_at            INTEGER,
    -- Last, since SQLite reads through long values to reach the columns behind them.
    title                  TEXT,
    detail                 TEXT,
    metadata               TEXT    NOT NULL,
    text                   TEXT    NOT NULL,
    latest_text            TEXT    NOT NULL,
    latest_progress_text   TEXT,
    input                  TEXT,
    checkpoint             TEXT,
    result                 TEXT,
    payload                TEXT
) STRICT;

CREATE UNIQUE INDEX idx_agent_tasks_id ON agent_tasks (task_id);
CREATE UNIQUE INDEX idx_agent_tasks_key ON agent_tasks (coordinator_account_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- The order in which sessions claim.
CREATE INDEX idx_agent_tasks_for_account ON agent_tasks (assignee_account_id, priority DESC, not_before, seq)
    WHERE state = 'submitted' AND capability IS NULL;
CREATE INDEX idx_agent_tasks_for_capability ON agent_tasks (capability, priority DESC, not_before, seq)
    WHERE state = 'submitted' AND capability IS NOT NULL;
-- A repeated claim finds its tasks by the beginning of their leases.
CREATE INDEX idx_agent_tasks_lease ON agent_tasks (lease) WHERE lease IS NOT NULL;
CREATE INDEX idx_agent_tasks_due ON agent_tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX idx_agent_tasks_cancel ON agent_tasks (cancel_requested_at) WHERE cancel_requested_at IS NOT NULL;
CREATE INDEX idx_agent_tasks_finished ON agent_tasks (finished_at) WHERE finished_at IS NOT NULL;
-- Lists, one state at a time, and counts.
CREATE INDEX idx_agent_tasks_state ON agent_tasks (state, updated_at, task_id);
CREATE INDEX idx_agent_tasks_coordinator ON agent_tasks (coordinator_account_id, state, updated_at, task_id);
CREATE INDEX idx_agent_tasks_assignee ON agent_tasks (assignee_account_id, state, updated_at, task_id)
    WHERE assignee_account_id IS NOT NULL;
CREATE INDEX idx_agent_tasks_capability ON agent_tasks (capability, state, updated_at, task_id)
    WHERE capability IS NOT NULL;
CREATE INDEX idx_agent_tasks_parent ON agent_tasks (parent_task_id, state, updated_at, task_id)
    WHERE parent_task_id IS NOT NULL;

-- What happened to a task: seq counts from 1 without gaps. A message, or a worker's end of an attempt, makes one event.
CREATE TABLE agent_task_events (
    task_id         TEXT    NOT NULL,
    seq             INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    attempt         INTEGER NOT NULL,
    state           TEXT,
    from_account_id TEXT,
    message_id      TEXT,
    text            TEXT,
    data            TEXT,
    PRIMARY KEY (task_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX idx_agent_task_events_message ON agent_task_events (task_id, message_id)
    WHERE message_id IS NOT NULL;

-- How many stored parts a task has, and of which task it is a part itself. There is no row of a task without parts.
CREATE TABLE agent_task_parts (
    task_id        TEXT    NOT NULL PRIMARY KEY,
    parent_task_id TEXT,
    open           INTEGER NOT NULL,
    done           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_agent_task_parts_parent ON agent_task_parts (parent_task_id) WHERE parent_task_id IS NOT NULL;

-- Tasks: work that the registry keeps (PROTOCOL.md section 22).

-- finished_at is set exactly while a task has ended; lease, lease_session and lease_until while a session has it. due_at is when
-- time alone changes the task: the end of its lease, or its deadline. Space in each page for new versions of its rows.
CREATE TABLE IF NOT EXISTS agent_tasks (
    -- The order of creation.
    seq                    bigserial   PRIMARY KEY,
    task_id                text COLLATE "C" NOT NULL,
    coordinator_account_id text COLLATE "C" NOT NULL,
    coordinator            text,
    idempotency_key        text COLLATE "C",
    content_sha256         text        NOT NULL,
    -- The capability of its workers; NULL for a task for the account assignee_account_id.
    capability             text COLLATE "C",
    -- The account that it is for, else that of its worker.
    assignee_account_id    text COLLATE "C",
    worker_account_id      text,
    delivery               text        NOT NULL,
    thread_id              text        NOT NULL,
    parent_task_id         text COLLATE "C",
    priority               bigint      NOT NULL,
    not_before             timestamptz NOT NULL,
    deadline_at            timestamptz,
    max_attempts           bigint      NOT NULL,
    backoff_ms             bigint      NOT NULL,
    heartbeat_ms           bigint      NOT NULL,
    state                  text COLLATE "C" NOT NULL,
    attempt                bigint      NOT NULL,
    lease                  text COLLATE "C",
    lease_session          text,
    lease_until            timestamptz,
    heartbeat_at           timestamptz,
    cancel_requested_at    timestamptz,
    due_at                 timestamptz,
    finish_id              text,
    -- Claims in a row after which nothing was heard of the worker, and releases in a row.
    unconfirmed            bigint      NOT NULL,
    releases               bigint      NOT NULL,
    -- Whether a message task.assign told the account, when the task was created.
    is_assigned_by_message boolean     NOT NULL,
    code                   text,
    progress_count         bigint      NOT NULL,
    percent                bigint,
    phase                  text,
    message_id             text,
    event_count            bigint      NOT NULL,
    event_bytes            bigint      NOT NULL,
    revision               bigint      NOT NULL,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    finished_at            timestamptz,
    title                  text,
    detail                 text,
    metadata               text        NOT NULL,
    text                   text        NOT NULL,
    latest_text            text        NOT NULL,
    latest_progress_text   text,
    input                  text,
    checkpoint             text,
    result                 text,
    payload                text
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX IF NOT EXISTS idx_agent_tasks_id ON agent_tasks (task_id);
CREATE UNIQUE INDEX IF NOT EXISTS idx_agent_tasks_key ON agent_tasks (coordinator_account_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- The order in which sessions claim.
CREATE INDEX IF NOT EXISTS idx_agent_tasks_for_account ON agent_tasks (assignee_account_id, priority DESC, not_before, seq)
    WHERE state = 'submitted' AND capability IS NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_for_capability ON agent_tasks (capability, priority DESC, not_before, seq)
    WHERE state = 'submitted' AND capability IS NOT NULL;
-- A repeated claim finds its tasks by the beginning of their leases.
CREATE INDEX IF NOT EXISTS idx_agent_tasks_lease ON agent_tasks (lease) WHERE lease IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_due ON agent_tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_cancel ON agent_tasks (cancel_requested_at)
    WHERE cancel_requested_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_finished ON agent_tasks (finished_at) WHERE finished_at IS NOT NULL;
-- Lists, one state at a time, and counts.
CREATE INDEX IF NOT EXISTS idx_agent_tasks_state ON agent_tasks (state, updated_at, task_id);
CREATE INDEX IF NOT EXISTS idx_agent_tasks_coordinator
    ON agent_tasks (coordinator_account_id, state, updated_at, task_id);
CREATE INDEX IF NOT EXISTS idx_agent_tasks_assignee ON agent_tasks (assignee_account_id, state, updated_at, task_id)
    WHERE assignee_account_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_capability ON agent_tasks (capability, state, updated_at, task_id)
    WHERE capability IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_tasks_parent ON agent_tasks (parent_task_id, state, updated_at, task_id)
    WHERE parent_task_id IS NOT NULL;

-- What happened to a task: seq counts from 1 without gaps. A message, or a worker's end of an attempt, makes one event.
CREATE TABLE IF NOT EXISTS agent_task_events (
    task_id         text COLLATE "C" NOT NULL,
    seq             bigint      NOT NULL,
    at              timestamptz NOT NULL,
    kind            text        NOT NULL,
    attempt         bigint      NOT NULL,
    state           text,
    from_account_id text,
    message_id      text COLLATE "C",
    text            text,
    data            text,
    PRIMARY KEY (task_id, seq)
);

CREATE UNIQUE INDEX IF NOT EXISTS idx_agent_task_events_message ON agent_task_events (task_id, message_id)
    WHERE message_id IS NOT NULL;

-- How many stored parts a task has, and of which task it is a part itself. There is no row of a task without parts. Rows are
-- locked after those of agent_tasks, in the order of the ids.
CREATE TABLE IF NOT EXISTS agent_task_parts (
    task_id        text COLLATE "C" NOT NULL PRIMARY KEY,
    parent_task_id text COLLATE "C",
    open           bigint           NOT NULL,
    done           bigint           NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX IF NOT EXISTS idx_agent_task_parts_parent ON agent_task_parts (parent_task_id)
    WHERE parent_task_id IS NOT NULL;

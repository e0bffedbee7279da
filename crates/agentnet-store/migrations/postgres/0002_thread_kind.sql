-- Pages of one kind in one thread: a long thread was read as a whole for a kind that it hardly has. The index on the thread
-- alone, which others begin with, goes for it: writing a message costs what it did.

CREATE INDEX IF NOT EXISTS idx_agent_messages_thread_kind
    ON agent_messages (thread_id, kind, sent_at DESC, message_id COLLATE "C" DESC);
DROP INDEX IF EXISTS idx_agent_messages_thread_id;

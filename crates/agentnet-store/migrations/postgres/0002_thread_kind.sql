-- Pages of one kind in one thread: a long thread was read as a whole for a kind that it hardly has.

CREATE INDEX IF NOT EXISTS idx_agent_messages_thread_kind
    ON agent_messages (thread_id, kind, sent_at DESC, message_id COLLATE "C" DESC);

-- Pages of what one account sent to another: all that the sender had ever sent was read for a receiver it hardly knows.

CREATE INDEX IF NOT EXISTS idx_agent_messages_from_to
    ON agent_messages (from_account_id, to_account_id, sent_at DESC, message_id COLLATE "C" DESC);

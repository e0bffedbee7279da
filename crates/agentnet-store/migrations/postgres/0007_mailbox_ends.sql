-- Mailboxes: ends of messages that their senders still have to be told of, leases that ran out, and how long delivered messages
-- are remembered (PROTOCOL.md section 21).

-- done_at is set exactly while a message has ended: 'done', 'dead', 'expired' or 'dropped'. A 'done' message has no body, nor has
-- an expired or dropped one once its sender is told: their rows recognise a repetition until forget_at.
ALTER TABLE agent_mailbox
    -- Leases in a row that ran out without an acknowledgement while the message was the first one of its sender.
    ADD COLUMN IF NOT EXISTS lapses bigint NOT NULL DEFAULT 0,
    -- Set until the sender is told of the end; when that was last tried.
    ADD COLUMN IF NOT EXISTS untold_since timestamptz,
    -- When the row is deleted; NULL for a message that waits, is leased or dead.
    ADD COLUMN IF NOT EXISTS forget_at timestamptz;

-- Until now, a delivered message was forgotten after a day, also one that could be put in again.
UPDATE agent_mailbox SET forget_at = greatest(done_at + interval '24 hours', expires_at) WHERE state = 'done';

-- How much one sender has left for one account.
DROP INDEX IF EXISTS idx_agent_mailbox_sender;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_sender ON agent_mailbox (account_id, from_account_id, state, bytes);
-- Leases of messages that are given out alone.
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_alone ON agent_mailbox (account_id, lease_until)
    WHERE state = 'leased' AND lapses >= 2;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_untold ON agent_mailbox (untold_since) WHERE untold_since IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agent_mailbox_forget ON agent_mailbox (forget_at) WHERE forget_at IS NOT NULL;

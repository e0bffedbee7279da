-- Turns the message history into one table a month (docs/SCALING.md). Run it once, in psql, with every registry stopped and a
-- backup made. What is there becomes the first part as it stands: nothing is copied but the message ids.

BEGIN;
SET LOCAL statement_timeout = 0;
LOCK TABLE agent_messages IN ACCESS EXCLUSIVE MODE;

-- A message id is unique over the whole history, which PostgreSQL cannot promise across parts: the ids get a table of their own.
CREATE TABLE agent_message_ids (message_id text COLLATE "C" PRIMARY KEY);
INSERT INTO agent_message_ids SELECT message_id FROM agent_messages;

ALTER TABLE agent_messages RENAME TO agent_messages_before;
DO $$
DECLARE
    known record;
BEGIN
    FOR known IN SELECT indexname FROM pg_indexes WHERE tablename = 'agent_messages_before' AND schemaname = current_schema()
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', known.indexname, known.indexname || '_before');
    END LOOP;
END
$$;
ALTER TABLE agent_messages_before DROP CONSTRAINT agent_messages_pkey_before;
ALTER TABLE agent_messages_before ADD PRIMARY KEY (message_id, received_at);

CREATE TABLE agent_messages (LIKE agent_messages_before INCLUDING DEFAULTS) PARTITION BY RANGE (received_at);
ALTER TABLE agent_messages ADD PRIMARY KEY (message_id, received_at);
-- Nothing is refused because its month is missing.
CREATE TABLE agent_messages_other PARTITION OF agent_messages DEFAULT;
DO $$
BEGIN
    EXECUTE format('ALTER TABLE agent_messages ATTACH PARTITION agent_messages_before FOR VALUES FROM (MINVALUE) TO (%L)',
        date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month');
END
$$;
CREATE INDEX idx_agent_messages_thread_sent_msg ON agent_messages (thread_id, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_thread_kind
    ON agent_messages (thread_id, kind, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_from_account ON agent_messages (from_account_id, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_from_to
    ON agent_messages (from_account_id, to_account_id, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_to_account ON agent_messages (to_account_id, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_kind ON agent_messages (kind, sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_sent_at ON agent_messages (sent_at DESC, message_id COLLATE "C" DESC);
CREATE INDEX idx_agent_messages_idempotency_key ON agent_messages (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Makes the table of a month, if it is not there. Call it for the months to come, from cron for instance.
CREATE FUNCTION agentnet_add_month(month date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text := 'agent_messages_' || to_char(month, 'YYYY_MM');
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF agent_messages FOR VALUES FROM (%L) TO (%L)', name,
        date_trunc('month', month::timestamp), date_trunc('month', month::timestamp) + interval '1 month');
    RETURN name;
END
$$;

-- Drops the months before this one that retention has emptied: no row to delete, no table to vacuum.
CREATE FUNCTION agentnet_drop_empty_months(before date) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    part record;
    filled boolean;
BEGIN
    FOR part IN
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'agent_messages'::regclass
            AND (c.relname = 'agent_messages_before' OR c.relname ~ '^agent_messages_\d{4}_\d{2}$'
                AND to_date(right(c.relname, 7), 'YYYY_MM') < date_trunc('month', before::timestamp))
    LOOP
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part.name);
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', part.name) INTO filled;
        -- Messages may still come to the part that holds everything up to now.
        IF NOT filled AND (part.name <> 'agent_messages_before' OR before < date_trunc('month', now())::date) THEN
            EXECUTE format('DROP TABLE %I', part.name);
            RETURN NEXT part.name;
        END IF;
    END LOOP;
END
$$;

SELECT agentnet_add_month((date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date);
COMMIT;

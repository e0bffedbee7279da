-- What an account's last registration, and each session, said that it signs besides messages (PROTOCOL.md 13.6).

ALTER TABLE agent_accounts ADD COLUMN signs TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_sessions ADD COLUMN signs TEXT NOT NULL DEFAULT '';

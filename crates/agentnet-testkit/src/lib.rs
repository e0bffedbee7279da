//! Real servers for tests: nats-server and PostgreSQL on free ports.

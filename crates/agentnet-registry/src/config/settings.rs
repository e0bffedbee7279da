//! The table of settings: from it come the defaults, the environment lookup, the limits, and the flags and `--help` of the
//! command line.

use std::fmt;
use std::time::Duration;

use agentnet_store::model::MAX_METADATA_BYTES;

use super::parse::{MILLISECOND, SECOND, address, boolean, choice, float, number, text, time};
use super::{DEFAULT_NATS_URL, RegistryConfig};

/// One setting: its names, default, help text and limits.
#[non_exhaustive]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag of `agentnet registry`, without dashes; `None` where the command has another one.
    pub flag: Option<&'static str>,
    /// The kind of value, as `--help` shows it.
    pub value_name: &'static str,
    /// The default as text; empty where there is none.
    pub default: &'static str,
    /// The description in `--help`.
    pub help: &'static str,
    set: fn(&mut RegistryConfig, &str) -> Result<(), String>,
    limit: fn(&mut RegistryConfig),
}

impl Setting {
    /// Parses a value into the configuration.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub(super) fn set(&self, config: &mut RegistryConfig, value: &str) -> Result<(), String> {
        (self.set)(config, value.trim())
    }

    /// Raises the value to its minimum, or lowers it to its maximum.
    pub(super) fn limit(&self, config: &mut RegistryConfig) {
        (self.limit)(config);
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Setting").field(&self.variable).finish()
    }
}

const NO_LIMIT: fn(&mut RegistryConfig) = |_| {};

fn assign<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn at_least<T: PartialOrd>(place: &mut T, minimum: T) {
    if *place < minimum {
        *place = minimum;
    }
}

/// All settings, in the order of `--help`. A limit may depend on the settings before it.
pub const SETTINGS: &[Setting] = &[
    Setting {
        variable: "NATS_URL",
        flag: None,
        value_name: "URL",
        default: DEFAULT_NATS_URL,
        help: "Address of the NATS server, nats://TOKEN@host:port, several separated by commas",
        set: |config, value| assign(&mut config.nats_url, text(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "DATABASE_URL",
        flag: None,
        value_name: "URL",
        default: "",
        help: "Where the store is; a database in memory by default",
        set: |config, value| assign(&mut config.database_url, text(value).map(Some)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "LOG_LEVEL",
        flag: None,
        value_name: "LEVEL",
        default: "INFO",
        help: "Log level of the program that starts the registry",
        set: |config, value| assign(&mut config.log_level, text(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "REGISTRY_SERVER_ID",
        flag: Some("server-id"),
        value_name: "NAME",
        default: "registry",
        help: "Name of the registry and prefix of its session tags; {hostname} is replaced by the host's name up to its first dot",
        set: |config, value| assign(&mut config.server_id, text(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENT_TTL_SECONDS",
        flag: Some("agent-ttl-seconds"),
        value_name: "SECONDS",
        default: "40",
        help: "A session without a hello for this long is offline",
        set: |config, value| assign(&mut config.agent_ttl, time(value, SECOND)),
        limit: |config| at_least(&mut config.agent_ttl, Duration::from_millis(100)),
    },
    Setting {
        variable: "HEARTBEAT_INTERVAL_SECONDS",
        flag: Some("heartbeat-interval-seconds"),
        value_name: "SECONDS",
        default: "12",
        help: "Time between an agent's hellos, at least 1",
        set: |config, value| assign(&mut config.heartbeat_interval, time(value, SECOND)),
        limit: |config| at_least(&mut config.heartbeat_interval, Duration::from_secs(1)),
    },
    Setting {
        variable: "GC_INTERVAL_SECONDS",
        flag: Some("gc-interval-seconds"),
        value_name: "SECONDS",
        default: "5",
        help: "Time between deletions of old sessions and threads",
        set: |config, value| assign(&mut config.gc_interval, time(value, SECOND)),
        limit: |config| at_least(&mut config.gc_interval, Duration::from_millis(100)),
    },
    Setting {
        variable: "SESSION_RETENTION_DAYS",
        flag: Some("session-retention-days"),
        value_name: "DAYS",
        default: "14",
        help: "Offline sessions are kept for this long, at least 1",
        set: |config, value| assign(&mut config.session_retention_days, number(value)),
        limit: |config| at_least(&mut config.session_retention_days, 1),
    },
    Setting {
        variable: "THREAD_RETENTION_DAYS",
        flag: Some("thread-retention-days"),
        value_name: "DAYS",
        default: "30",
        help: "Threads without new messages are kept for this long, at least 1",
        set: |config, value| assign(&mut config.thread_retention_days, number(value)),
        limit: |config| at_least(&mut config.thread_retention_days, 1),
    },
    Setting {
        variable: "THREAD_SOFT_LIMIT_TOKENS",
        flag: Some("thread-soft-limit-tokens"),
        value_name: "TOKENS",
        default: "50000",
        help: "Soft limit of a thread's tokens, reported with threads; at least 1",
        set: |config, value| assign(&mut config.thread_soft_limit_tokens, number(value)),
        limit: |config| at_least(&mut config.thread_soft_limit_tokens, 1),
    },
    Setting {
        variable: "THREAD_HARD_LIMIT_TOKENS",
        flag: Some("thread-hard-limit-tokens"),
        value_name: "TOKENS",
        default: "60000",
        help: "Hard limit of a thread's tokens, reported with threads; at least the soft limit",
        set: |config, value| assign(&mut config.thread_hard_limit_tokens, number(value)),
        limit: |config| at_least(&mut config.thread_hard_limit_tokens, config.thread_soft_limit_tokens),
    },
    Setting {
        variable: "THREAD_KEEP_TAIL_MESSAGES",
        flag: Some("thread-keep-tail-messages"),
        value_name: "N",
        default: "24",
        help: "Messages to keep after a checkpoint, reported with threads",
        set: |config, value| assign(&mut config.thread_keep_tail_messages, number(value)),
        limit: |config| at_least(&mut config.thread_keep_tail_messages, 0),
    },
    Setting {
        variable: "TOKEN_ESTIMATE_CHARS_PER_TOKEN",
        flag: Some("token-estimate-chars-per-token"),
        value_name: "N",
        default: "4",
        help: "Bytes that count as one token, at least 1",
        set: |config, value| assign(&mut config.token_estimate_chars_per_token, float(value)),
        // Unlike a comparison, this also replaces what is not a number.
        limit: |config| config.token_estimate_chars_per_token = config.token_estimate_chars_per_token.max(1.0),
    },
    Setting {
        variable: "AGENTNET_DATABASE_POOL_SIZE",
        flag: Some("database-pool-size"),
        value_name: "N",
        default: "5",
        help: "Connections to PostgreSQL, at least 2",
        set: |config, value| assign(&mut config.database.pool_size, number(value)),
        limit: |config| at_least(&mut config.database.pool_size, 2),
    },
    Setting {
        variable: "AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS",
        flag: Some("database-statement-timeout-seconds"),
        value_name: "SECONDS",
        default: "10",
        help: "PostgreSQL cancels statements that run longer; 0 = never",
        set: |config, value| assign(&mut config.database.statement_timeout, time(value, SECOND)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENTNET_DATABASE_TLS",
        flag: Some("database-tls"),
        value_name: "MODE",
        default: "",
        help: "TLS to PostgreSQL: disable, prefer, require, verify-ca or verify-full [default: the URL's sslmode, else prefer]",
        set: |config, value| assign(&mut config.database.tls, choice(value).map(Some)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "DB_WRITE_BATCH_ENABLED",
        flag: Some("db-write-batch-enabled"),
        value_name: "BOOL",
        default: "true",
        help: "Store messages in batches",
        set: |config, value| assign(&mut config.db_write_batch_enabled, boolean(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "DB_WRITE_BATCH_SIZE",
        flag: Some("db-write-batch-size"),
        value_name: "N",
        default: "64",
        help: "Messages in one batch, at least 1",
        set: |config, value| assign(&mut config.db_write_batch_size, number(value)),
        limit: |config| at_least(&mut config.db_write_batch_size, 1),
    },
    Setting {
        variable: "DB_WRITE_FLUSH_MS",
        flag: Some("db-write-flush-ms"),
        value_name: "MS",
        default: "40",
        help: "Time that a batch waits to fill, at least 1",
        set: |config, value| assign(&mut config.db_write_flush, time(value, MILLISECOND)),
        limit: |config| at_least(&mut config.db_write_flush, Duration::from_millis(1)),
    },
    Setting {
        variable: "DB_WRITE_QUEUE_MAX",
        flag: Some("db-write-queue-max"),
        value_name: "N",
        default: "10000",
        help: "Messages that may wait to be stored, at least 100",
        set: |config, value| assign(&mut config.db_write_queue_max, number(value)),
        limit: |config| at_least(&mut config.db_write_queue_max, 100),
    },
    Setting {
        variable: "REGISTRY_METRICS_WINDOW_SIZE",
        flag: Some("metrics-window-size"),
        value_name: "N",
        default: "1024",
        help: "Number of samples for percentiles, at least 32",
        set: |config, value| assign(&mut config.metrics_window_size, number(value)),
        limit: |config| at_least(&mut config.metrics_window_size, 32),
    },
    Setting {
        variable: "DEV_AUTH",
        flag: Some("dev-auth"),
        value_name: "BOOL",
        default: "false",
        help: "Names belong to keys: only signed registrations are accepted, and messages and presence are verified",
        set: |config, value| assign(&mut config.dev_auth, boolean(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "DEV_AUTH_MAX_SKEW_SECONDS",
        flag: Some("dev-auth-max-skew-seconds"),
        value_name: "SECONDS",
        default: "120",
        help: "Largest accepted error of a signer's clock, at least 1",
        set: |config, value| assign(&mut config.dev_auth_max_skew, time(value, SECOND)),
        limit: |config| at_least(&mut config.dev_auth_max_skew, Duration::from_secs(1)),
    },
    Setting {
        variable: "DEV_AUTH_NONCE_TTL_SECONDS",
        flag: Some("dev-auth-nonce-ttl-seconds"),
        value_name: "SECONDS",
        default: "300",
        help: "Nonces are remembered for this long, at least 5",
        set: |config, value| assign(&mut config.dev_auth_nonce_ttl, time(value, SECOND)),
        limit: |config| at_least(&mut config.dev_auth_nonce_ttl, Duration::from_secs(5)),
    },
    Setting {
        variable: "DEV_AUTH_KEY_DIR",
        flag: Some("dev-auth-key-dir"),
        value_name: "DIR",
        default: "",
        help: "Directory of the registry's own key [default: registry-keys in the data directory, if there is one]",
        set: |config, value| assign(&mut config.key_dir, text(value).map(|path| Some(path.into()))),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENTNET_MAX_METADATA_BYTES",
        flag: Some("max-metadata-bytes"),
        value_name: "BYTES",
        default: "65536",
        help: "Largest size of an agent's metadata, at most 1048576",
        set: |config, value| assign(&mut config.max_metadata_bytes, number(value)),
        limit: |config| {
            config.max_metadata_bytes = config.max_metadata_bytes.clamp(2, MAX_METADATA_BYTES);
        },
    },
    Setting {
        variable: "AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND",
        flag: Some("max-new-accounts-per-second"),
        value_name: "N",
        default: "500",
        help: "Long-term rate of new accounts; bursts of 20 times as many are accepted; 0 = no limit",
        set: |config, value| assign(&mut config.max_new_accounts_per_second, number(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENTNET_OFFLINE_REPLIES",
        flag: Some("offline-replies"),
        value_name: "BOOL",
        default: "true",
        help: "Reply with an error at once where an agent is offline or unknown, or no agent has the capability",
        set: |config, value| assign(&mut config.offline_replies, boolean(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENTNET_CAPTURE_STORAGE",
        flag: Some("capture-storage"),
        value_name: "file|memory",
        default: "file",
        help: "Storage of the stream in which JetStream keeps messages until they are in the history",
        set: |config, value| assign(&mut config.capture_storage, choice(value)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "AGENTNET_CAPTURE_REPLICAS",
        flag: Some("capture-replicas"),
        value_name: "N",
        default: "1",
        help: "Copies of that stream in a NATS cluster, at most 5",
        set: |config, value| assign(&mut config.capture_replicas, number(value)),
        limit: |config| config.capture_replicas = config.capture_replicas.clamp(1, 5),
    },
    Setting {
        variable: "AGENTNET_METRICS_ADDR",
        flag: Some("metrics-addr"),
        value_name: "IP:PORT",
        default: "",
        help: "Serve GET /metrics (Prometheus) and GET /healthz over HTTP at this address; port 0 takes a free one [default: none]",
        set: |config, value| assign(&mut config.metrics_addr, address(value).map(Some)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "THREAD_COMPACTION_EVENT_ENABLED",
        flag: Some("thread-compaction-event-enabled"),
        value_name: "BOOL",
        default: "",
        help: "Accepted for old configurations; without effect",
        set: |config, value| assign(&mut config.thread_compaction_event_enabled, boolean(value).map(Some)),
        limit: NO_LIMIT,
    },
    Setting {
        variable: "THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS",
        flag: Some("thread-compaction-event-cooldown-seconds"),
        value_name: "SECONDS",
        default: "",
        help: "Accepted for old configurations; without effect",
        set: |config, value| {
            assign(
                &mut config.thread_compaction_event_cooldown,
                time(value, SECOND).map(Some),
            )
        },
        limit: NO_LIMIT,
    },
];

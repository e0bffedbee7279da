//! Every setting of the registry, with the names, defaults and minima of the Python implementation (PROTOCOL.md section 15).
//!
//! [`SETTINGS`] declares each setting once.

mod parse;
mod setting;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agentnet_store::OpenOptions;

use crate::secure::Authority;

pub use self::setting::Setting;
pub use self::settings::SETTINGS;

/// The address that the registry of the Python implementation uses: the server's name in its compose file.
pub const DEFAULT_NATS_URL: &str = "nats://agentnet_secret_token@nats:4222";

/// Where JetStream keeps captured messages until they are in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureStorage {
    /// On the server's disk: they survive its restart.
    #[default]
    File,
    /// In the server's memory.
    Memory,
}

impl FromStr for CaptureStorage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "file" => Ok(Self::File),
            "memory" => Ok(Self::Memory),
            _ => Err("expected `file` or `memory`".to_owned()),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} cannot be used: {problem}")]
pub struct ConfigError {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Value of the variable, as it was set.
    pub value: String,
    /// What is wrong with it, and what is expected.
    pub problem: String,
}

/// Declares the configuration, with an empty value for each field.
macro_rules! declare_config {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $name {
            fn empty() -> Self {
                Self { $($field: <$type>::default(),)* }
            }
        }
    };
}

declare_config! {
    /// The registry's settings. [`SETTINGS`] has the default and the description of each. Values outside their limits are
    /// raised or lowered to them when the registry starts.
    #[derive(Debug, Clone, PartialEq)]
    pub struct RegistryConfig {
        /// `NATS_URL`: server address, `nats://TOKEN@host:port`, several separated by commas.
        pub nats_url: String,
        /// `DATABASE_URL`: where [`Registry::start_with_store_url`](crate::Registry::start_with_store_url) finds the store;
        /// unset means a database in memory that ends with the registry.
        pub database_url: Option<String>,
        /// How the store is opened: `AGENTNET_DATABASE_POOL_SIZE` (connections to PostgreSQL),
        /// `AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS` (0 = no limit), `AGENTNET_DATABASE_TLS`, and what has no variable.
        pub database: OpenOptions,
        /// `REGISTRY_SERVER_ID`: prefix of session tags. Each replica needs its own.
        pub server_id: String,
        /// `AGENT_TTL_SECONDS`: a session that was silent for longer is offline.
        pub agent_ttl: Duration,
        /// `GC_INTERVAL_SECONDS`: time between two sweeps.
        pub gc_interval: Duration,
        /// `HEARTBEAT_INTERVAL_SECONDS`: the interval of heartbeats that agents are asked for.
        pub heartbeat_interval: Duration,
        /// `THREAD_SOFT_LIMIT_TOKENS`: soft limit that is reported with threads.
        pub thread_soft_limit_tokens: i64,
        /// `THREAD_HARD_LIMIT_TOKENS`: hard limit that is reported with threads, at least the soft one.
        pub thread_hard_limit_tokens: i64,
        /// `THREAD_KEEP_TAIL_MESSAGES`: messages to keep behind a checkpoint, reported with threads.
        pub thread_keep_tail_messages: i64,
        /// `TOKEN_ESTIMATE_CHARS_PER_TOKEN`: bytes that count as one token.
        pub token_estimate_chars_per_token: f64,
        /// `SESSION_RETENTION_DAYS`: offline sessions are kept so long.
        pub session_retention_days: u32,
        /// `THREAD_RETENTION_DAYS`: threads without a new message are kept so long.
        pub thread_retention_days: u32,
        /// `THREAD_COMPACTION_EVENT_ENABLED`: accepted for compatibility, without effect (section 0, decision 1).
        pub thread_compaction_event_enabled: Option<bool>,
        /// `THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS`: accepted for compatibility, without effect.
        pub thread_compaction_event_cooldown: Option<Duration>,
        /// `DB_WRITE_BATCH_ENABLED`: whether messages are stored in batches.
        pub db_write_batch_enabled: bool,
        /// `DB_WRITE_BATCH_SIZE`: messages in one transaction. A backlog makes larger ones.
        pub db_write_batch_size: usize,
        /// `DB_WRITE_FLUSH_MS`: how long a batch waits to fill. Messages of the stream gather for a quarter of it before they are
        /// fetched.
        pub db_write_flush: Duration,
        /// `DB_WRITE_QUEUE_MAX`: messages that may wait to be stored.
        pub db_write_queue_max: usize,
        /// `REGISTRY_METRICS_WINDOW_SIZE`: samples that percentiles are taken over.
        pub metrics_window_size: usize,
        /// `LOG_LEVEL`: for the program that starts the registry.
        pub log_level: String,
        /// `DEV_AUTH`: whether registrations must be signed (section 13).
        pub dev_auth: bool,
        /// `DEV_AUTH_MAX_SKEW_SECONDS`: how far a signer's clock may be off.
        pub dev_auth_max_skew: Duration,
        /// `DEV_AUTH_NONCE_TTL_SECONDS`: how long a nonce is remembered.
        pub dev_auth_nonce_ttl: Duration,
        /// `DEV_AUTH_KEY_DIR`: the directory of the registry's own key file; without one it makes a key for each run.
        pub key_dir: Option<PathBuf>,
        /// `AGENTNET_AUTHORITY`, `AGENTNET_USERS_FILE`, `AGENTNET_NATS_PID_FILE`, `AGENTNET_AUTHORITY_KEY`,
        /// `AGENTNET_AUTHORITY_ACCOUNT`, `AGENTNET_SYS_CREDS`, `AGENTNET_OPERATOR_KEY`, `AGENTNET_CREDENTIAL_SECONDS`,
        /// `AGENTNET_MAX_CONTROL_LINE`: in secure mode, how the registry tells the broker who may do what (PROTOCOL.md section 23).
        /// Absent: somebody else does.
        pub authority: Option<Authority>,
        /// `AGENTNET_OFFLINE_REPLIES`: whether requests to accounts without a live session are answered with an error at once
        /// (section 0, decision 9).
        pub offline_replies: bool,
        /// `AGENTNET_MAX_METADATA_BYTES`: the largest metadata of an agent, as JSON text.
        pub max_metadata_bytes: usize,
        /// `AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND`: accounts that may be created in the long run; 20 times as many at once. 0 = no
        /// limit.
        pub max_new_accounts_per_second: u32,
        /// `AGENTNET_MAILBOX`: whether messages are kept for accounts that are offline (section 21).
        pub mailbox: bool,
        /// `AGENTNET_MAILBOX_MAX_MESSAGES`: messages that may wait for one account.
        pub mailbox_max_messages: i64,
        /// `AGENTNET_MAILBOX_MAX_BYTES`: size of the messages that may wait for one account, with its dead letters.
        pub mailbox_max_bytes: i64,
        /// `AGENTNET_MAILBOX_SENDER_MAX_MESSAGES`: messages of one sender that may wait for one account.
        pub mailbox_sender_max_messages: i64,
        /// `AGENTNET_MAILBOX_TOTAL_BYTES`: size of the messages that may wait for all accounts together.
        pub mailbox_total_bytes: i64,
        /// `AGENTNET_MAILBOX_MAX_AGE_HOURS`: a message waits at most for so long.
        pub mailbox_max_age: Duration,
        /// `AGENTNET_MAILBOX_DEAD_DAYS`: messages that cannot be delivered are kept so long.
        pub mailbox_dead_days: u32,
        /// `AGENTNET_MAILBOX_MAX_ATTEMPTS`: a message that was delivered so often without success is dead.
        pub mailbox_max_attempts: i64,
        /// `AGENTNET_TASKS`: whether tasks are kept (section 22).
        pub tasks: bool,
        /// `AGENTNET_TASK_MAX_OPEN`: tasks of one coordinator that have not ended.
        pub task_max_open: i64,
        /// `AGENTNET_TASK_RETENTION_DAYS`: tasks that ended are kept so long.
        pub task_retention_days: u32,
        /// `AGENTNET_TASK_CANCEL_GRACE_SECONDS`: how long a worker has to stop after a cancellation.
        pub task_cancel_grace: Duration,
        /// `AGENTNET_BLOB_MAX_BYTES`: size of one blob of a secure network (section 23.13).
        pub blob_max_bytes: i64,
        /// `AGENTNET_BLOB_ACCOUNT_MAX_BYTES`: size of all blobs of one account.
        pub blob_account_max_bytes: i64,
        /// `AGENTNET_BLOB_ACCOUNT_MAX`: blobs of one account.
        pub blob_account_max: i64,
        /// `AGENTNET_CAPTURE_STORAGE`: where JetStream keeps messages until they are stored.
        pub capture_storage: CaptureStorage,
        /// `AGENTNET_CAPTURE_REPLICAS`: copies of the captured stream in a NATS cluster.
        pub capture_replicas: usize,
        /// `AGENTNET_METRICS_ADDR`: the address at which `GET /metrics` (Prometheus) and `GET /healthz` are served over HTTP, as `IP:PORT`; port 0
        /// takes a free one. Unset: nowhere.
        pub metrics_addr: Option<SocketAddr>,
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        let mut config = Self::empty();
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            // A test holds that every default can be parsed.
            let _ = setting.set(&mut config, setting.default);
        }
        config
    }
}

impl RegistryConfig {
    /// Reads the settings through a lookup, for instance `|name| std::env::var(name).ok()`. A variable that is missing or
    /// blank keeps its default.
    ///
    /// # Errors
    /// [`ConfigError`] for a number, time or choice that cannot be read; it names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for setting in SETTINGS {
            let name = setting.variable;
            let Some(value) = lookup(name).filter(|value| !value.trim().is_empty()) else {
                continue;
            };
            if let Err(problem) = setting.set(&mut config, &value) {
                return Err(ConfigError { name, value, problem });
            }
        }
        Ok(config.with_minima())
    }

    /// The same settings, each raised to its minimum, or lowered to its maximum.
    #[must_use]
    pub fn with_minima(mut self) -> Self {
        for setting in SETTINGS {
            setting.limit(&mut self);
        }
        self
    }
}

#[cfg(test)]
mod tests;

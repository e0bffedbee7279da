//! Every setting of the registry, with the original's names, defaults and minima (PROTOCOL.md section 15).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agentnet_protocol::env_bool::parse_bool;
use agentnet_protocol::limits::DEFAULT_MAX_METADATA_BYTES;
use agentnet_protocol::register_auth::{DEFAULT_MAX_SKEW_MS, DEFAULT_NONCE_TTL_SECONDS};
use agentnet_protocol::thread;
use agentnet_store::OpenOptions;
use agentnet_store::model::MAX_METADATA_BYTES;

/// The address that the original's registry uses: the server's name in its compose file.
pub const DEFAULT_NATS_URL: &str = "nats://agentnet_secret_token@nats:4222";

/// Where the stream of captured messages lives until they are in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureStorage {
    /// On the server's disk: survives its restart.
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
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

/// The registry's settings. Values below a minimum are raised to it when the registry starts.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryConfig {
    /// `NATS_URL`: server address, `nats://TOKEN@host:port`, several separated by commas.
    pub nats_url: String,
    /// `DATABASE_URL`: where [`Registry::start_with_store_url`](crate::Registry::start_with_store_url) finds the store;
    /// unset means a database in memory that ends with the registry.
    pub database_url: Option<String>,
    /// How the store is opened, among it `AGENTNET_DATABASE_POOL_SIZE` (connections to PostgreSQL; 5 by default, at least 2),
    /// `AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS` (10 by default, 0 = no limit) and `AGENTNET_DATABASE_TLS` (`disable`,
    /// `prefer`, `require`, `verify-ca` or `verify-full`; by default as the URL's `sslmode` says, else `prefer`).
    pub database: OpenOptions,
    /// `REGISTRY_SERVER_ID`: prefix of session tags; `registry` by default. Give each replica its own.
    pub server_id: String,
    /// `AGENT_TTL_SECONDS`: a session that was silent for longer is offline; 40 by default.
    pub agent_ttl: Duration,
    /// `GC_INTERVAL_SECONDS`: time between two sweeps; 5 by default.
    pub gc_interval: Duration,
    /// `HEARTBEAT_INTERVAL_SECONDS`: what agents are told to keep; 12 by default, at least 1.
    pub heartbeat_interval: Duration,
    /// `THREAD_SOFT_LIMIT_TOKENS`: 50000 by default, at least 1.
    pub thread_soft_limit_tokens: i64,
    /// `THREAD_HARD_LIMIT_TOKENS`: 60000 by default, at least the soft limit.
    pub thread_hard_limit_tokens: i64,
    /// `THREAD_KEEP_TAIL_MESSAGES`: 24 by default, at least 0.
    pub thread_keep_tail_messages: i64,
    /// `TOKEN_ESTIMATE_CHARS_PER_TOKEN`: 4 by default, at least 1.
    pub token_estimate_chars_per_token: f64,
    /// `SESSION_RETENTION_DAYS`: offline sessions are kept so long; 14 by default, at least 1.
    pub session_retention_days: u32,
    /// `THREAD_RETENTION_DAYS`: threads without a new message are kept so long; 30 by default, at least 1.
    pub thread_retention_days: u32,
    /// `THREAD_COMPACTION_EVENT_ENABLED`: accepted for compatibility, without effect (section 0, decision 1).
    pub thread_compaction_event_enabled: Option<bool>,
    /// `THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS`: accepted for compatibility, without effect.
    pub thread_compaction_event_cooldown: Option<Duration>,
    /// `DB_WRITE_BATCH_ENABLED`: whether messages are stored in batches; on by default.
    pub db_write_batch_enabled: bool,
    /// `DB_WRITE_BATCH_SIZE`: messages in one transaction; 64 by default, at least 1. A backlog makes larger ones.
    pub db_write_batch_size: usize,
    /// `DB_WRITE_FLUSH_MS`: how long a batch waits to fill; 40 ms by default, at least 1. Messages of the stream gather for a
    /// quarter of it before they are fetched.
    pub db_write_flush: Duration,
    /// `DB_WRITE_QUEUE_MAX`: messages that may wait to be stored; 10000 by default, at least 100.
    pub db_write_queue_max: usize,
    /// `REGISTRY_METRICS_WINDOW_SIZE`: samples that percentiles are taken over; 1024 by default, at least 32.
    pub metrics_window_size: usize,
    /// `LOG_LEVEL`: for the program that starts the registry; `INFO` by default.
    pub log_level: String,
    /// `DEV_AUTH`: whether registrations must be signed (section 13); off by default.
    pub dev_auth: bool,
    /// `DEV_AUTH_MAX_SKEW_SECONDS`: 120 by default, at least 1.
    pub dev_auth_max_skew: Duration,
    /// `DEV_AUTH_NONCE_TTL_SECONDS`: 300 by default, at least 5.
    pub dev_auth_nonce_ttl: Duration,
    /// `DEV_AUTH_KEY_DIR`: the directory of the registry's own key file; without one it makes a key for each run.
    pub key_dir: Option<PathBuf>,
    /// `AGENTNET_OFFLINE_REPLIES`: whether requests to accounts without a live session are answered with an error at once
    /// (section 0, decision 9); on by default.
    pub offline_replies: bool,
    /// `AGENTNET_MAX_METADATA_BYTES`: an agent's metadata is not larger, as JSON text; 65536 by default, at most 1048576.
    pub max_metadata_bytes: usize,
    /// `AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND`: accounts that may be created in the long run; 20 times as many at once. 500 by
    /// default, 0 = no limit.
    pub max_new_accounts_per_second: u32,
    /// `AGENTNET_CAPTURE_STORAGE`: `file` (default) or `memory`.
    pub capture_storage: CaptureStorage,
    /// `AGENTNET_CAPTURE_REPLICAS`: copies of the captured stream in a NATS cluster; 1 by default, at most 5.
    pub capture_replicas: usize,
    /// `AGENTNET_METRICS_ADDR`: where `GET /metrics` (Prometheus) and `GET /healthz` are served over HTTP, as `IP:PORT`; port 0
    /// takes a free one. Unset by default: nowhere.
    pub metrics_addr: Option<SocketAddr>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            nats_url: DEFAULT_NATS_URL.to_owned(),
            database_url: None,
            database: OpenOptions::default(),
            server_id: "registry".to_owned(),
            agent_ttl: Duration::from_secs(40),
            gc_interval: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(12),
            thread_soft_limit_tokens: thread::DEFAULT_SOFT_LIMIT_TOKENS,
            thread_hard_limit_tokens: thread::DEFAULT_HARD_LIMIT_TOKENS,
            thread_keep_tail_messages: thread::DEFAULT_KEEP_TAIL_MESSAGES,
            token_estimate_chars_per_token: thread::DEFAULT_CHARS_PER_TOKEN,
            session_retention_days: 14,
            thread_retention_days: 30,
            thread_compaction_event_enabled: None,
            thread_compaction_event_cooldown: None,
            db_write_batch_enabled: true,
            db_write_batch_size: 64,
            db_write_flush: Duration::from_millis(40),
            db_write_queue_max: 10_000,
            metrics_window_size: 1024,
            log_level: "INFO".to_owned(),
            dev_auth: false,
            dev_auth_max_skew: Duration::from_millis(DEFAULT_MAX_SKEW_MS),
            dev_auth_nonce_ttl: Duration::from_secs(DEFAULT_NONCE_TTL_SECONDS),
            key_dir: None,
            offline_replies: true,
            max_metadata_bytes: DEFAULT_MAX_METADATA_BYTES,
            max_new_accounts_per_second: 500,
            capture_storage: CaptureStorage::File,
            capture_replicas: 1,
            metrics_addr: None,
        }
    }
}

impl RegistryConfig {
    /// Reads the settings through a lookup, for instance `|name| std::env::var(name).ok()`. A variable that is missing or
    /// blank keeps its default.
    ///
    /// # Errors
    /// [`ConfigError`] for a number, time or choice that cannot be read; it names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let read = Reader(|name: &str| lookup(name).filter(|value| !value.trim().is_empty()));
        let default = Self::default();
        let text = |name: &str, default: String| (read.0)(name).map_or(default, |value| value.trim().to_owned());
        Ok(Self {
            nats_url: text("NATS_URL", default.nats_url),
            database_url: (read.0)("DATABASE_URL").map(|url| url.trim().to_owned()),
            database: OpenOptions {
                pool_size: read.number("AGENTNET_DATABASE_POOL_SIZE", default.database.pool_size)?,
                statement_timeout: read.time(
                    "AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS",
                    1.0,
                    default.database.statement_timeout,
                )?,
                tls: read.parsed("AGENTNET_DATABASE_TLS")?,
                ..default.database
            },
            server_id: text("REGISTRY_SERVER_ID", default.server_id),
            agent_ttl: read.time("AGENT_TTL_SECONDS", 1.0, default.agent_ttl)?,
            gc_interval: read.time("GC_INTERVAL_SECONDS", 1.0, default.gc_interval)?,
            heartbeat_interval: read.time("HEARTBEAT_INTERVAL_SECONDS", 1.0, default.heartbeat_interval)?,
            thread_soft_limit_tokens: read.number("THREAD_SOFT_LIMIT_TOKENS", default.thread_soft_limit_tokens)?,
            thread_hard_limit_tokens: read.number("THREAD_HARD_LIMIT_TOKENS", default.thread_hard_limit_tokens)?,
            thread_keep_tail_messages: read.number("THREAD_KEEP_TAIL_MESSAGES", default.thread_keep_tail_messages)?,
            token_estimate_chars_per_token: read
                .float("TOKEN_ESTIMATE_CHARS_PER_TOKEN")?
                .unwrap_or(default.token_estimate_chars_per_token),
            session_retention_days: read.number("SESSION_RETENTION_DAYS", default.session_retention_days)?,
            thread_retention_days: read.number("THREAD_RETENTION_DAYS", default.thread_retention_days)?,
            thread_compaction_event_enabled: read.opt_flag("THREAD_COMPACTION_EVENT_ENABLED")?,
            thread_compaction_event_cooldown: read.opt_time("THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS", 1.0)?,
            db_write_batch_enabled: read.flag("DB_WRITE_BATCH_ENABLED", default.db_write_batch_enabled)?,
            db_write_batch_size: read.number("DB_WRITE_BATCH_SIZE", default.db_write_batch_size)?,
            db_write_flush: read.time("DB_WRITE_FLUSH_MS", 0.001, default.db_write_flush)?,
            db_write_queue_max: read.number("DB_WRITE_QUEUE_MAX", default.db_write_queue_max)?,
            metrics_window_size: read.number("REGISTRY_METRICS_WINDOW_SIZE", default.metrics_window_size)?,
            log_level: text("LOG_LEVEL", default.log_level),
            dev_auth: read.flag("DEV_AUTH", default.dev_auth)?,
            dev_auth_max_skew: read.time("DEV_AUTH_MAX_SKEW_SECONDS", 1.0, default.dev_auth_max_skew)?,
            dev_auth_nonce_ttl: read.time("DEV_AUTH_NONCE_TTL_SECONDS", 1.0, default.dev_auth_nonce_ttl)?,
            key_dir: (read.0)("DEV_AUTH_KEY_DIR").map(|directory| PathBuf::from(directory.trim())),
            offline_replies: read.flag("AGENTNET_OFFLINE_REPLIES", default.offline_replies)?,
            max_metadata_bytes: read.number("AGENTNET_MAX_METADATA_BYTES", default.max_metadata_bytes)?,
            max_new_accounts_per_second: read.number(
                "AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND",
                default.max_new_accounts_per_second,
            )?,
            capture_storage: read
                .parsed("AGENTNET_CAPTURE_STORAGE")?
                .unwrap_or(default.capture_storage),
            capture_replicas: read.number("AGENTNET_CAPTURE_REPLICAS", default.capture_replicas)?,
            metrics_addr: read.address("AGENTNET_METRICS_ADDR")?,
        }
        .with_minima())
    }

    /// The same settings, each raised to its minimum.
    #[must_use]
    pub fn with_minima(mut self) -> Self {
        let second = Duration::from_secs(1);
        self.database.pool_size = self.database.pool_size.max(2);
        self.agent_ttl = self.agent_ttl.max(Duration::from_millis(100));
        self.gc_interval = self.gc_interval.max(Duration::from_millis(100));
        self.heartbeat_interval = self.heartbeat_interval.max(second);
        self.thread_soft_limit_tokens = self.thread_soft_limit_tokens.max(1);
        self.thread_hard_limit_tokens = self.thread_hard_limit_tokens.max(self.thread_soft_limit_tokens);
        self.thread_keep_tail_messages = self.thread_keep_tail_messages.max(0);
        self.token_estimate_chars_per_token = self.token_estimate_chars_per_token.max(1.0);
        self.session_retention_days = self.session_retention_days.max(1);
        self.thread_retention_days = self.thread_retention_days.max(1);
        self.db_write_batch_size = self.db_write_batch_size.max(1);
        self.db_write_flush = self.db_write_flush.max(Duration::from_millis(1));
        self.db_write_queue_max = self.db_write_queue_max.max(100);
        self.metrics_window_size = self.metrics_window_size.max(32);
        self.dev_auth_max_skew = self.dev_auth_max_skew.max(second);
        self.dev_auth_nonce_ttl = self.dev_auth_nonce_ttl.max(5 * second);
        self.capture_replicas = self.capture_replicas.clamp(1, 5);
        self.max_metadata_bytes = self.max_metadata_bytes.clamp(2, MAX_METADATA_BYTES);
        self
    }
}

struct Reader<L>(L);

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn flag(&self, name: &'static str, default: bool) -> Result<bool, ConfigError> {
        Ok(self.opt_flag(name)?.unwrap_or(default))
    }

    fn opt_flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        match parse_bool(&value) {
            Some(flag) => Ok(Some(flag)),
            None => Err(ConfigError {
                name,
                problem: "expected true or false".to_owned(),
                value,
            }),
        }
    }

    fn parsed<T: FromStr<Err: ToString>>(&self, name: &'static str) -> Result<Option<T>, ConfigError> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(problem) => Err(ConfigError {
                name,
                problem: ToString::to_string(&problem),
                value,
            }),
        }
    }

    fn number<T: FromStr<Err: ToString>>(&self, name: &'static str, default: T) -> Result<T, ConfigError> {
        let whole = |mut error: ConfigError| {
            error.problem = format!("expected a whole number ({})", error.problem);
            error
        };
        Ok(self.parsed(name).map_err(whole)?.unwrap_or(default))
    }

    fn address(&self, name: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        self.parsed(name).map_err(|mut error| {
            error.problem = "expected IP:PORT, for instance 127.0.0.1:9464 or [::]:9464".to_owned();
            error
        })
    }

    fn float(&self, name: &'static str) -> Result<Option<f64>, ConfigError> {
        let problem = |value: String| ConfigError {
            name,
            value,
            problem: "expected a number".to_owned(),
        };
        let Some(value) = (self.0)(name) else { return Ok(None) };
        match value.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(problem(value)),
        }
    }

    fn opt_time(&self, name: &'static str, unit_seconds: f64) -> Result<Option<Duration>, ConfigError> {
        let Some(number) = self.float(name)? else {
            return Ok(None);
        };
        match Duration::try_from_secs_f64(number.max(0.0) * unit_seconds) {
            Ok(time) => Ok(Some(time)),
            Err(problem) => Err(ConfigError {
                name,
                value: number.to_string(),
                problem: problem.to_string(),
            }),
        }
    }

    fn time(&self, name: &'static str, unit_seconds: f64, default: Duration) -> Result<Duration, ConfigError> {
        Ok(self.opt_time(name, unit_seconds)?.unwrap_or(default))
    }
}

#[cfg(test)]
mod tests;

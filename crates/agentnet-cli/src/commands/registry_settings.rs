//! The registry's settings as flags. A flag overrides its environment variable (PROTOCOL.md section 15).

use agentnet_registry::RegistryConfig;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use rustix::system::uname;

use crate::exit::Failure;

/// The placeholder for the host name in the server id.
const HOST_NAME: &str = "{hostname}";

/// A setting of the registry, identified by its environment variable.
struct Setting {
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    /// The default value as text; empty for none.
    default: &'static str,
    help: &'static str,
}

const fn setting(
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        flag,
        value,
        default,
        help,
    }
}

const SETTINGS: &[Setting] = &[
    setting(
        "REGISTRY_SERVER_ID",
        "server-id",
        "NAME",
        "registry",
        "Name of this registry, the prefix of session tags; {hostname} in it becomes the host's name",
    ),
    setting(
        "AGENT_TTL_SECONDS",
        "agent-ttl-seconds",
        "SECONDS",
        "40",
        "A session that is silent for longer is offline",
    ),
    setting(
        "HEARTBEAT_INTERVAL_SECONDS",
        "heartbeat-interval-seconds",
        "SECONDS",
        "12",
        "How often agents say hello, at least 1",
    ),
    setting(
        "GC_INTERVAL_SECONDS",
        "gc-interval-seconds",
        "SECONDS",
        "5",
        "Time between two clean-ups",
    ),
    setting(
        "SESSION_RETENTION_DAYS",
        "session-retention-days",
        "DAYS",
        "14",
        "Offline sessions are kept so long, at least 1",
    ),
    setting(
        "THREAD_RETENTION_DAYS",
        "thread-retention-days",
        "DAYS",
        "30",
        "Threads without new messages are kept so long, at least 1",
    ),
    setting(
        "THREAD_SOFT_LIMIT_TOKENS",
        "thread-soft-limit-tokens",
        "TOKENS",
        "50000",
        "Soft limit reported with threads, at least 1",
    ),
    setting(
        "THREAD_HARD_LIMIT_TOKENS",
        "thread-hard-limit-tokens",
        "TOKENS",
        "60000",
        "Hard limit reported with threads, at least the soft one",
    ),
    setting(
        "THREAD_KEEP_TAIL_MESSAGES",
        "thread-keep-tail-messages",
        "N",
        "24",
        "Messages to keep behind a checkpoint, reported with threads",
    ),
    setting(
        "TOKEN_ESTIMATE_CHARS_PER_TOKEN",
        "token-estimate-chars-per-token",
        "N",
        "4",
        "Bytes that count as one token, at least 1",
    ),
    setting(
        "AGENTNET_DATABASE_POOL_SIZE",
        "database-pool-size",
        "N",
        "5",
        "Connections to PostgreSQL, at least 2",
    ),
    setting(
        "AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS",
        "database-statement-timeout-seconds",
        "SECONDS",
        "10",
        "PostgreSQL ends statements that run longer; 0 = never",
    ),
    setting(
        "AGENTNET_DATABASE_TLS",
        "database-tls",
        "MODE",
        "",
        "disable, prefer, require, verify-ca or verify-full [default: as the database URL says, else prefer]",
    ),
    setting(
        "DB_WRITE_BATCH_ENABLED",
        "db-write-batch-enabled",
        "BOOL",
        "true",
        "Store messages in batches",
    ),
    setting(
        "DB_WRITE_BATCH_SIZE",
        "db-write-batch-size",
        "N",
        "64",
        "Messages in one batch, at least 1",
    ),
    setting(
        "DB_WRITE_FLUSH_MS",
        "db-write-flush-ms",
        "MS",
        "40",
        "How long a batch waits to fill, at least 1",
    ),
    setting(
        "DB_WRITE_QUEUE_MAX",
        "db-write-queue-max",
        "N",
        "10000",
        "Messages that may wait to be stored, at least 100",
    ),
    setting(
        "REGISTRY_METRICS_WINDOW_SIZE",
        "metrics-window-size",
        "N",
        "1024",
        "Samples that percentiles are taken over, at least 32",
    ),
    setting("DEV_AUTH", "dev-auth", "BOOL", "false", "Registrations must be signed"),
    setting(
        "DEV_AUTH_MAX_SKEW_SECONDS",
        "dev-auth-max-skew-seconds",
        "SECONDS",
        "120",
        "How far a signer's clock may be off, at least 1",
    ),
    setting(
        "DEV_AUTH_NONCE_TTL_SECONDS",
        "dev-auth-nonce-ttl-seconds",
        "SECONDS",
        "300",
        "How long a nonce is remembered, at least 5",
    ),
    setting(
        "DEV_AUTH_KEY_DIR",
        "dev-auth-key-dir",
        "DIR",
        "",
        "Where the registry's own key is kept [default: registry-keys in the data directory, if there is one]",
    ),
    setting(
        "AGENTNET_MAX_METADATA_BYTES",
        "max-metadata-bytes",
        "BYTES",
        "65536",
        "An agent's metadata is not larger, at most 1048576",
    ),
    setting(
        "AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND",
        "max-new-accounts-per-second",
        "N",
        "500",
        "New accounts in the long run, 20 times as many at once; 0 = no limit",
    ),
    setting(
        "AGENTNET_OFFLINE_REPLIES",
        "offline-replies",
        "BOOL",
        "true",
        "Answer requests to agents that are offline with an error at once",
    ),
    setting(
        "AGENTNET_CAPTURE_STORAGE",
        "capture-storage",
        "file|memory",
        "file",
        "Where JetStream keeps messages until they are stored",
    ),
    setting(
        "AGENTNET_CAPTURE_REPLICAS",
        "capture-replicas",
        "N",
        "1",
        "Copies of them in a NATS cluster, at most 5",
    ),
    setting(
        "AGENTNET_METRICS_ADDR",
        "metrics-addr",
        "IP:PORT",
        "",
        "Serve GET /metrics (Prometheus) and GET /healthz here over HTTP; port 0 takes a free one [default: nowhere]",
    ),
    setting(
        "THREAD_COMPACTION_EVENT_ENABLED",
        "thread-compaction-event-enabled",
        "BOOL",
        "",
        "Accepted for old configurations; without effect",
    ),
    setting(
        "THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS",
        "thread-compaction-event-cooldown-seconds",
        "SECONDS",
        "",
        "Accepted for old configurations; without effect",
    ),
];

/// The values that were set, by flag or variable.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistrySettings {
    values: Vec<(&'static str, String)>,
}

impl RegistrySettings {
    /// The registry's configuration with these settings.
    ///
    /// # Errors
    /// A value is invalid: exit code 2.
    pub(crate) fn config(&self, nats_url: String) -> Result<RegistryConfig, Failure> {
        let values = |name: &str| {
            self.values
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| value.clone())
        };
        let config = RegistryConfig::from_lookup(values).map_err(|error| {
            let flag = SETTINGS.iter().find(|setting| setting.variable == error.name);
            let failure = Failure::refused(error.to_string());
            match flag {
                Some(setting) => failure.hint(format!("set it with --{} or the environment", setting.flag)),
                None => failure,
            }
        })?;
        let server_id = with_host_name(&config.server_id, &uname().nodename().to_string_lossy());
        Ok(RegistryConfig {
            nats_url,
            server_id,
            ..config
        })
    }
}

/// The server id with the host name, up to its first dot, in place of [`HOST_NAME`], so that replicas of one description have
/// distinct ids.
fn with_host_name(server_id: &str, host: &str) -> String {
    server_id.replace(HOST_NAME, host.split('.').next().unwrap_or(host))
}

impl FromArgMatches for RegistrySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.values = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.variable, matches.get_one::<String>(setting.flag)?.clone())))
            .collect();
        Ok(())
    }
}

impl Args for RegistrySettings {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| {
            let arg = Arg::new(setting.flag)
                .long(setting.flag)
                .env(setting.variable)
                .value_name(setting.value)
                .value_parser(crate::args::not_blank)
                .help(setting.help)
                .help_heading("Registry settings")
                .allow_negative_numbers(true);
            // The flag without a value turns the setting on.
            let arg = match setting.value {
                "BOOL" => arg.num_args(0..=1).default_missing_value("true"),
                _ => arg,
            };
            command.arg(if setting.default.is_empty() {
                arg
            } else {
                arg.default_value(setting.default)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> RegistrySettings {
        let command = RegistrySettings::augment_args(Command::new("x").no_binary_name(true))
            .mut_args(|arg| arg.env(None::<&str>));
        RegistrySettings::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
    }

    #[test]
    fn the_defaults_shown_are_those_of_the_registry() {
        let shown = read(&[]).config("nats://h".into()).unwrap();
        let own = RegistryConfig {
            nats_url: "nats://h".into(),
            ..RegistryConfig::default()
        };
        assert_eq!(shown, own);
    }

    #[test]
    fn the_hosts_name_makes_server_ids_distinct() {
        for (server_id, expected) in [
            ("registry", "registry"),
            ("registry-{hostname}", "registry-3f2a"),
            ("{hostname}", "3f2a"),
            ("{host}", "{host}"),
        ] {
            assert_eq!(with_host_name(server_id, "3f2a.example.com"), expected);
        }
        let config = read(&["--server-id", "r-{hostname}"])
            .config("nats://h".into())
            .unwrap();
        let host = config.server_id.strip_prefix("r-").unwrap();
        assert!(!host.is_empty() && !host.contains(['{', '.']), "{host}");
    }

    #[test]
    fn flags_reach_the_registry_and_nonsense_is_told() {
        let config = read(&["--agent-ttl-seconds", "2.5", "--dev-auth", "Yes"])
            .config("nats://h".into())
            .unwrap();
        assert_eq!(config.agent_ttl, std::time::Duration::from_millis(2500));
        assert!(config.dev_auth);
        assert!(read(&["--dev-auth"]).config("nats://h".into()).unwrap().dev_auth);
        assert!(!read(&["--dev-auth", "off"]).config("nats://h".into()).unwrap().dev_auth);
        let refused = read(&["--db-write-batch-size", "many"])
            .config("nats://h".into())
            .unwrap_err()
            .text();
        assert!(
            refused.contains("DB_WRITE_BATCH_SIZE") && refused.contains("--db-write-batch-size"),
            "{refused}"
        );
    }
}

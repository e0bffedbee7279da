//! The registry's settings as flags. A flag overrides its environment variable (PROTOCOL.md section 15).

use agentnet_registry::RegistryConfig;
use agentnet_registry::config::{SETTINGS, Setting};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use rustix::system::uname;

use crate::exit::Failure;

/// The placeholder for the host name in the server id.
const HOST_NAME: &str = "{hostname}";

/// The settings that have a flag here, each with that flag.
fn flags() -> impl Iterator<Item = (&'static Setting, &'static str)> {
    SETTINGS.iter().filter_map(|setting| Some((setting, setting.flag?)))
}

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
            let flag = flags().find(|(setting, _)| setting.variable == error.name);
            let failure = Failure::refused(error.to_string());
            match flag {
                Some((_, flag)) => failure.hint(format!("set it with --{flag} or the environment")),
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
        self.values = flags()
            .filter_map(|(setting, flag)| Some((setting.variable, matches.get_one::<String>(flag)?.clone())))
            .collect();
        Ok(())
    }
}

impl Args for RegistrySettings {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, (setting, flag)| {
            let arg = Arg::new(flag)
                .long(flag)
                .env(setting.variable)
                .value_name(setting.value_name)
                .value_parser(crate::args::not_blank)
                .help(setting.help)
                .help_heading("Registry settings")
                .allow_negative_numbers(true);
            // The flag without a value turns the setting on.
            let arg = match setting.value_name {
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

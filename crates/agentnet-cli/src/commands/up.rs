//! `agentnet up`: a whole network in one command.

use std::path::PathBuf;

use agentnet_protocol::url::DEVELOPMENT_TOKEN;
use clap::Args;

use super::given;
use super::registry_settings::RegistrySettings;
use crate::cli::Global;
use crate::connection::checked_url;
use crate::ended::Ended;
use crate::output::Output;
use crate::signals::StopSignals;
use crate::up::nats_config::check_token;
use crate::up::ready;
use crate::up::stack::{Broker, Plan, Stack};

#[derive(Debug, Args)]
#[command(after_help = "\
State is kept in the data directory. Ctrl-C or SIGTERM stops everything; nats-server never outlives this command. \
--nats-url uses a server that runs already instead of starting one; for this command only the flag counts, not the \
environment.")]
pub(crate) struct Up {
    /// Where accounts, threads, messages and logs are kept [default: the platform's data directory] [env: AGENTNET_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value = "4222")]
    port: u16,
    /// Token that every agent must show; use one of your own beyond this machine
    #[arg(long, value_name = "TOKEN", env = "AGENTNET_TOKEN", default_value = DEVELOPMENT_TOKEN, hide_env_values = true)]
    token: String,
    /// Port for the monitoring pages of nats-server [default: none]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    monitor_port: Option<u16>,
    /// The nats-server to run [default: beside agentnet, in PATH, or in .tools/bin of a checkout]
    #[arg(long, value_name = "PATH", env = "AGENTNET_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Database to use instead of a file in the data directory
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    settings: RegistrySettings,
}

impl Up {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let broker = match given(global.nats_url.as_ref()) {
            Some(url) => {
                checked_url(&url)?;
                Broker::External { url }
            }
            None => {
                check_token(&self.token)?;
                if self.token == DEVELOPMENT_TOKEN && !is_loopback(&self.host) {
                    output.note(format!(
                        "warning: {} can be reached from other machines, and the development token is known to everybody; \
                         set one of your own with --token or AGENTNET_TOKEN",
                        self.host
                    ));
                }
                Broker::Own {
                    host: self.host,
                    port: self.port,
                    token: self.token,
                    monitor_port: self.monitor_port,
                    program: self.nats_server.filter(|path| !path.as_os_str().is_empty()),
                }
            }
        };
        let plan = Plan {
            data_dir: self.data_dir.map_or_else(crate::places::data_dir, Ok)?,
            broker,
            database_url: given(self.database_url.as_ref()),
            settings: self.settings,
        };
        let mut signals = StopSignals::listen()?;
        let stack = signals
            .unless(async { Ok(Stack::start(plan, |note| output.note(note)).await?) })
            .await?;
        if output.is_json() {
            output.document(&ready::document(&stack))?;
        } else {
            output.line(ready::text(&stack, output))?;
        }
        signals.wait().await;
        tracing::info!("stopping");
        stack.stop(&mut signals).await
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_known() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
            "localhost",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "example.org"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

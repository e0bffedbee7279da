//! `agentnet up`: a whole network in one command.

mod websocket_args;

use std::path::PathBuf;

use agentnet_nats::DEVELOPMENT_TOKEN;
use clap::Args;

use self::websocket_args::WebSocketArgs;
use super::registry_settings::RegistrySettings;
use crate::args::trimmed;
use crate::connection::checked_url;
use crate::data_dir;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;
use crate::signals::StopSignals;
use crate::up::address::is_loopback;
use crate::up::banner;
use crate::up::lock::keep_files_private;
use crate::up::nats_config::check_token;
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
    #[arg(long, value_name = "ADDRESS", value_parser = crate::args::not_blank, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value = "4222")]
    port: u16,
    /// Token that every agent must show; use one of your own beyond this machine
    #[arg(long, value_name = "TOKEN", value_parser = crate::args::not_blank, env = "AGENTNET_TOKEN", default_value = DEVELOPMENT_TOKEN, hide_env_values = true)]
    token: String,
    /// Listen beyond this machine with the development token, which is public
    #[arg(long)]
    insecure_token: bool,
    /// Port for the monitoring pages of nats-server, which ask for no token: on this machine alone [default: none]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    monitor_port: Option<u16>,
    /// The nats-server to run [default: beside agentnet, in PATH, or in .tools/bin of a checkout]
    #[arg(long, value_name = "PATH", env = "AGENTNET_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Database to use instead of a file in the data directory
    #[arg(long, value_name = "URL", value_parser = crate::args::not_blank)]
    database_url: Option<String>,
    #[command(flatten)]
    websocket: WebSocketArgs,
    #[command(flatten)]
    settings: RegistrySettings,
}

impl Up {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        keep_files_private();
        let broker = match trimmed(global.nats_url.as_ref()) {
            Some(url) => {
                checked_url(&url)?;
                self.websocket.refuse_with_url()?;
                Broker::External { url }
            }
            None => {
                check_token(&self.token)?;
                let websocket = self.websocket.settings(self.port)?;
                if self.token == DEVELOPMENT_TOKEN {
                    let of_websocket = websocket.as_ref().map(|websocket| websocket.address.host.as_str());
                    let hosts = [
                        (Some(self.host.as_str()), "--host 127.0.0.1"),
                        (of_websocket, "--websocket 127.0.0.1:4280"),
                    ];
                    for (host, loopback) in hosts {
                        if let Some(host) = host.filter(|host| !is_loopback(host)) {
                            known_token(host, loopback, self.insecure_token, output)?;
                        }
                    }
                }
                Broker::Own {
                    host: self.host,
                    port: self.port,
                    token: self.token,
                    monitor_port: self.monitor_port,
                    websocket,
                    program: self.nats_server.filter(|path| !path.as_os_str().is_empty()),
                }
            }
        };
        let plan = Plan {
            data_dir: data_dir::choose(self.data_dir)?,
            broker,
            database_url: trimmed(self.database_url.as_ref()),
            settings: self.settings,
        };
        let mut signals = StopSignals::listen()?;
        let mut stack = signals
            .unless(async { Ok(Stack::start(plan, |note| output.note(note)).await?) })
            .await?;
        if output.is_json() {
            output.document(&banner::document(&stack))?;
        } else {
            output.line(banner::text(&stack, output))?;
        }
        let end = stack.registry.until_ended(&mut signals).await;
        tracing::info!("stopping");
        stack.stop(&mut signals).await?;
        end
    }
}

/// A public token protects nothing where other machines can connect.
/// `loopback` is the option that keeps to this machine.
fn known_token(host: &str, loopback: &str, allowed: bool, output: Output) -> Result<(), Failure> {
    let what = format!("{host} can be reached from other machines, and the development token is public");
    if allowed {
        output.note(format!(
            "warning: {what}: anyone who reaches this address can read every message and send under any name"
        ));
        return Ok(());
    }
    Err(Failure::refused(what).hint(format!(
        "set a token of your own with AGENTNET_TOKEN=\"$(openssl rand -hex 24)\" or --token, or stay on this machine with \
         {loopback}; --insecure-token starts it all the same"
    )))
}

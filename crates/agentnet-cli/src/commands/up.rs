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
use crate::up::own_server::OwnBroker;
use crate::up::secure::Mode;
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
    /// Each agent needs a credential of its own: no token, `agentnet invite NAME` lets one in. The broker keeps agents apart
    #[arg(long)]
    secure: bool,
    /// Go back to a token, where the network was in secure mode: accounts and history are kept, credentials are not used
    #[arg(long, conflicts_with = "secure")]
    no_secure: bool,
    /// In secure mode, listen beyond this machine without TLS: others on the way can read and change what is sent
    #[arg(long, requires = "secure")]
    insecure_plaintext: bool,
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
    /// The server to start.
    ///
    /// # Errors
    /// It would be open to other machines without protection, or a setting cannot be used.
    fn own_broker(&self, output: Output) -> Result<OwnBroker, Failure> {
        let websocket = self.websocket.clone().settings(self.port)?;
        if self.secure {
            if websocket.is_some() {
                return Err(Failure::refused("web pages cannot join a network in secure mode yet")
                    .hint("leave --websocket out, or start the network without --secure"));
            }
            plaintext(&self.host, self.insecure_plaintext, output)?;
        } else {
            check_token(&self.token)?;
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
        }
        Ok(OwnBroker {
            host: self.host.clone(),
            port: self.port,
            token: self.token.clone(),
            mode: match (self.secure, self.no_secure) {
                (true, _) => Mode::Secure,
                (false, true) => Mode::TokenAgain,
                (false, false) => Mode::Token,
            },
            monitor_port: self.monitor_port,
            websocket,
            program: self.nats_server.clone().filter(|path| !path.as_os_str().is_empty()),
        })
    }

    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        keep_files_private();
        let broker = match trimmed(global.nats_url.as_ref()) {
            Some(url) => {
                if self.secure {
                    return Err(secure_elsewhere().into());
                }
                checked_url(&url)?;
                self.websocket.refuse_with_url()?;
                Broker::External { url }
            }
            None => Broker::Own(self.own_broker(output)?),
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

/// Credentials are safe without TLS, since they are never sent; messages are not.
fn plaintext(host: &str, allowed: bool, output: Output) -> Result<(), Failure> {
    if is_loopback(host) {
        return Ok(());
    }
    let what = format!("{host} can be reached from other machines, and this version does not set up TLS by itself");
    if allowed {
        output.note(format!(
            "warning: {what}: whoever is on the way between two machines can read and change messages"
        ));
        return Ok(());
    }
    Err(Failure::refused(what).hint(
        "stay on this machine with --host 127.0.0.1; in a network that you trust, or through a tunnel that encrypts, \
         --insecure-plaintext starts it all the same",
    ))
}

fn secure_elsewhere() -> Failure {
    Failure::refused("--secure needs a NATS server of its own: it writes the server's users").hint(
        "leave --nats-url out; a registry for a server of yours is `agentnet registry` with --users-file (docs/SECURITY.md)",
    )
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

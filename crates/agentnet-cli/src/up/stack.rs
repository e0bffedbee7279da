//! The parts of a network, started in the order of their dependencies: data directory, nats-server, database, registry.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::NatsUrl;
use agentnet_protocol::json::ObjectWriter;
use agentnet_registry::{Failed, Registry, RegistryConfig, RegistryHandle, StartError};
use agentnet_store::{Store, StoreError, sqlite_url};

use super::lock::LockedDataDir;
use super::own_server::{OwnBroker, OwnServer};
use super::secure::{Mode, SecureFiles, make_operator};
use super::uninterrupted::Uninterrupted;
use crate::commands::registry_settings::RegistrySettings;
use crate::connection::checked_url;
use crate::data_dir::DataLocation;
use crate::exit::{Exit, Failure};
use crate::signals::StopSignals;

/// Delay between two attempts to restart a registry.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The configuration of a network.
pub(crate) struct Plan {
    pub(crate) data_dir: DataLocation,
    pub(crate) broker: Broker,
    /// A database other than the file in the data directory.
    pub(crate) database_url: Option<String>,
    pub(crate) settings: RegistrySettings,
}

/// The NATS server of the network.
pub(crate) enum Broker {
    /// A server that runs already.
    External { url: String },
    /// A child process.
    Own(OwnBroker),
}

/// A running network.
pub(crate) struct Stack {
    pub(crate) registry: RunningRegistry,
    pub(crate) nats: Option<OwnServer>,
    /// The server's address, with its token, or with the identity of the registry.
    pub(crate) url: String,
    /// The files of the secure mode, if the network is in it.
    pub(crate) secure: Option<SecureFiles>,
    /// The last field, so that its lock is released last.
    pub(crate) data_dir: LockedDataDir,
}

impl Stack {
    /// Starts all parts. If one fails, stops those that were started.
    pub(crate) async fn start(plan: Plan, mut note: impl FnMut(String)) -> Result<Self, Failure> {
        let data_dir = LockedDataDir::take(&plan.data_dir)?;
        let (nats, url, secure) = match plan.broker {
            Broker::External { url } => (None, url, None),
            Broker::Own(own) => {
                let config = plan.settings.config(String::new())?;
                if own.mode == Mode::Secure && config.dev_auth {
                    return Err(signed_members());
                }
                let (server, secure) = OwnServer::start(own, &data_dir, &config, &mut note).await?;
                let url = server.settings.url();
                (Some(server), url, secure)
            }
        };
        let database = plan.database_url.unwrap_or_else(|| embedded_database(&data_dir));
        let registry = match plan.settings.config(url.clone()) {
            Ok(mut config) => {
                config.key_dir.get_or_insert_with(|| registry_keys(&data_dir));
                if let Some(secure) = &secure {
                    config.authority = Some(secure.authority(config.authority.as_ref()));
                }
                RunningRegistry::start(config, &database).await
            }
            Err(failure) => Err(failure),
        };
        let registry = match (registry, &secure, &nats) {
            (Ok(registry), Some(secure), Some(nats)) => {
                registry
                    .with_operator(&secure.operator, nats.settings.plain_url())
                    .await
            }
            (registry, ..) => registry,
        };
        match registry {
            Ok(registry) => Ok(Self {
                registry,
                nats,
                url,
                secure,
                data_dir,
            }),
            Err(failure) => {
                if let Some(nats) = nats {
                    nats.server.stop().await;
                }
                Err(failure)
            }
        }
    }

    /// Stops all parts in the opposite order: the registry stores queued messages, then the server ends. A second signal ends
    /// this at once.
    pub(crate) async fn stop(self, signals: &mut StopSignals) -> Result<(), Exit> {
        self.registry.stop(signals).await?;
        if let Some(nats) = self.nats {
            let stop = async {
                nats.server.stop().await;
                Ok(())
            };
            signals.unless(stop).await?;
        }
        drop(self.data_dir);
        Ok(())
    }
}

/// The URL of the SQLite file in a data directory.
pub(crate) fn embedded_database(data_dir: &LockedDataDir) -> String {
    sqlite_url(&data_dir.join("agentnet.db"))
}

/// The directory of the registry's own key.
pub(crate) fn registry_keys(data_dir: &LockedDataDir) -> PathBuf {
    data_dir.join("registry-keys")
}

/// A registry in this process.
pub(crate) struct RunningRegistry {
    /// `None` while it restarts.
    handle: Option<RegistryHandle>,
    /// The shutdown of a registry that is to be restarted: it stores queued messages, also when a signal ends the restart.
    stopping: Uninterrupted,
    ready_line: String,
    metrics_addr: Option<SocketAddr>,
    config: RegistryConfig,
    store: Arc<dyn Store>,
    nats: NatsUrl,
    /// The URL of the database, without credentials.
    pub(crate) database: String,
}

impl RunningRegistry {
    /// Opens the database and starts the registry on it.
    pub(crate) async fn start(config: RegistryConfig, database_url: &str) -> Result<Self, Failure> {
        let nats = checked_url(&config.nats_url)?;
        if config.authority.is_some() && nats.member().is_none() {
            return Err(Failure::refused(
                "--authority and --users-file are for secure mode, and the registry connects without an identity",
            )
            .hint("name the registry's identity with --identity FILE or AGENTNET_IDENTITY"));
        }
        let store = agentnet_store::open(database_url, &config.database)
            .await
            .map_err(|error| registry_start_failure(error.into()))?;
        let handle = match Registry::start(config.clone(), Arc::clone(&store)).await {
            Ok(handle) => handle,
            Err(error) => {
                store.close().await;
                return Err(registry_start_failure(error));
            }
        };
        let metrics_addr = handle.metrics_addr();
        Ok(Self {
            ready_line: handle.ready_line().to_owned(),
            metrics_addr,
            // After a restart, metrics are served at the same address.
            config: RegistryConfig { metrics_addr, ..config },
            handle: Some(handle),
            stopping: Uninterrupted::default(),
            store,
            nats,
            database: without_credentials(database_url),
        })
    }

    /// Makes the operator of a network in secure mode a member; stops the registry if that fails.
    pub(crate) async fn with_operator(self, file: &Path, url: String) -> Result<Self, Failure> {
        let Some(handle) = &self.handle else { return Ok(self) };
        let Err(failure) = make_operator(file, handle, url).await else {
            return Ok(self);
        };
        if let Some(handle) = self.handle {
            handle.shutdown().await;
        }
        self.store.close().await;
        Err(failure)
    }

    /// The line that reports that the registry is ready.
    pub(crate) fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// Whether agents must sign.
    pub(crate) fn dev_auth(&self) -> bool {
        self.config.dev_auth
    }

    /// Adds its properties to a JSON document.
    pub(crate) fn describe<'a>(&self, out: &'a mut ObjectWriter) -> &'a mut ObjectWriter {
        out.text("event", "ready")
            .text("server_id", &self.config.server_id)
            .text("nats_url", &self.nats.redacted())
            .text("database", &self.database);
        if let Some(address) = self.metrics_addr {
            out.text("metrics_url", &format!("http://{address}/metrics"));
        }
        out
    }

    /// Returns on a signal, or with an error when the registry cannot go on. A registry that lost its connection for good is
    /// restarted.
    pub(crate) async fn until_ended(&mut self, signals: &mut StopSignals) -> Result<(), Exit> {
        tokio::select! {
            _ = signals.wait() => Ok(()),
            failed = self.keep_running() => {
                let failure = Failure::error(format!("the registry cannot go on: {failed}"));
                Err(failure.hint("messages that are not stored yet stay in the stream, for the next registry").into())
            }
        }
    }

    /// Returns when the registry can neither go on nor be restarted.
    async fn keep_running(&mut self) -> Failed {
        loop {
            self.stopping.end().await;
            match &self.handle {
                Some(handle) => match handle.failed().await {
                    Failed::Connection => {
                        tracing::error!("{}; the registry is restarted", Failed::Connection);
                        if let Some(handle) = self.handle.take() {
                            self.stopping.start(handle.shutdown());
                        }
                    }
                    failed => return failed,
                },
                None => match Registry::start(self.config.clone(), Arc::clone(&self.store)).await {
                    Ok(handle) => self.handle = Some(handle),
                    Err(error) => {
                        tracing::error!(%error, "the registry could not be restarted; trying again");
                        tokio::time::sleep(RESTART_DELAY).await;
                    }
                },
            }
        }
    }

    /// Stops the registry after it has stored queued messages. A second signal ends this at once.
    pub(crate) async fn stop(mut self, signals: &mut StopSignals) -> Result<(), Exit> {
        let stop = async {
            self.stopping.end().await;
            if let Some(handle) = self.handle {
                handle.shutdown().await;
            }
            self.store.close().await;
            Ok(())
        };
        signals.unless(stop).await
    }
}

fn signed_members() -> Failure {
    Failure::refused("--dev-auth does not work with --secure yet: members do not sign with their identities")
        .hint("leave --dev-auth and DEV_AUTH out: in secure mode the server proves who sends")
}

fn registry_start_failure(error: StartError) -> Failure {
    let text = error.to_string();
    match error {
        StartError::Connect { .. } | StartError::Nats(_) => Failure::error(text)
            .hint("start a server and a registry at once with `agentnet up`, or name one with --nats-url"),
        StartError::Refused { .. } => Failure::error(text)
            .hint("give the server's token as --nats-url nats://TOKEN@HOST:PORT, or in AGENTNET_NATS_URL"),
        StartError::Url(_) | StartError::Config(_) | StartError::Key(_) => Failure::refused(text),
        StartError::Metrics(_) => {
            Failure::error(text).hint("give --metrics-addr a free port of this machine, or port 0 for any")
        }
        StartError::Store(StoreError::Pooler(_)) => {
            Failure::error(text).hint("change one of these settings, then start the registry again")
        }
        StartError::Store(_) => {
            Failure::error(text).hint("name another database with --database-url, or another directory with --data-dir")
        }
        _ => Failure::error(text),
    }
}

/// The database URL without user, password and parameters, which may be secrets.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") else {
        return url.to_owned();
    };
    let place = rest.split('?').next().unwrap_or_default();
    match (place.rsplit_once('@'), rest.contains('@')) {
        (Some((_, place)), _) => format!("{scheme}://***@{place}"),
        (None, false) => format!("{scheme}://{place}"),
        // An unescaped `?` in the password.
        (None, true) => format!("{scheme}://***"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_credentials_are_not_shown() {
        for (url, shown) in [
            ("sqlite:///home/a@b/agentnet.db", "sqlite:///home/a@b/agentnet.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            (
                "postgres://me:secret@db:5432/agentnet",
                "postgres://***@db:5432/agentnet",
            ),
            ("postgres://db/agentnet", "postgres://db/agentnet"),
            ("postgres://db/agentnet?password=secret", "postgres://db/agentnet"),
            ("postgres://me:secret?x@db/agentnet", "postgres://***"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}

//! `agentnet registry`: the registry alone, on a NATS server that runs already.

use std::path::PathBuf;
use std::time::Duration;

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_registry::health::{self, Health};
use clap::Args;

use super::registry_settings::RegistrySettings;
use crate::args::trimmed;
use crate::connection::{checked_url, nats_url};
use crate::data_dir;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;
use crate::signals::StopSignals;
use crate::up::lock::{LockedDataDir, keep_files_private};
use crate::up::stack::{RunningRegistry, embedded_database, registry_keys};

/// Timeout of a whole health check. A container's health check should wait a little longer.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(6);

#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// Database: sqlite:///absolute/path, sqlite://relative/path, sqlite::memory: or postgres://user:password@host:port/database
    /// [default: a file in the data directory]
    #[arg(long, value_name = "URL", value_parser = crate::args::not_blank, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Directory of the default database [default: the platform's] [env: AGENTNET_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Do not run a registry: ask the one of this server id whether it and its database work, and exit with 0 or 1
    #[arg(long)]
    pub(crate) health: bool,
    /// In secure mode, make an operator and keep its identity in this file, unless the file has one that is a member
    #[arg(long, value_name = "FILE")]
    operator_file: Option<PathBuf>,
    #[command(flatten)]
    settings: RegistrySettings,
}

impl Registry {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let url = nats_url(global);
        if self.health {
            return check_health(url, &self.settings, output).await;
        }
        keep_files_private();
        let servers = checked_url(&url)?.servers().join(",");
        let mut config = self.settings.config(url)?;
        // Two registries with one database URL are replicas; two on the default file would be a mistake.
        let (database, data_dir) = match trimmed(self.database_url.as_ref()) {
            Some(database) => (database, None),
            None => {
                let data_dir = LockedDataDir::take(&data_dir::choose(self.data_dir)?)?;
                let database = embedded_database(&data_dir);
                config.key_dir.get_or_insert_with(|| registry_keys(&data_dir));
                tracing::info!("no DATABASE_URL: the history is kept in {database}");
                (database, Some(data_dir))
            }
        };
        let mut signals = StopSignals::listen()?;
        let mut registry = signals
            .unless(async {
                let registry = RunningRegistry::start(config, &database).await?;
                match &self.operator_file {
                    Some(file) => Ok(registry.with_operator(file, servers).await?),
                    None => Ok(registry),
                }
            })
            .await?;
        if output.is_json() {
            output.document(&registry.describe(&mut ObjectWriter::new()).finish())?;
        } else {
            output.line(registry.ready_line())?;
        }
        let end = registry.until_ended(&mut signals).await;
        registry.stop(&mut signals).await?;
        drop(data_dir);
        end
    }
}

/// Exit code 0 if the registry answers and has no [`Health::problem`], else 1 with the reason in one line.
async fn check_health(url: String, settings: &RegistrySettings, output: Output) -> Result<(), Exit> {
    let ask = async {
        let config = settings.config(url).map_err(|failure| in_one_line(&failure.text()))?;
        // In secure mode, the credential names the registry.
        let url = checked_url(&config.nats_url).map_err(|failure| in_one_line(&failure.text()))?;
        let own = url.issuer().and_then(|own| own.strip_prefix(REGISTRY_ACCOUNT_PREFIX));
        let server_id = own.unwrap_or(&config.server_id);
        let authority = config.authority.as_ref();
        let answer = health::ask_as_registry(&config.nats_url, authority, server_id, HEALTH_CHECK_TIMEOUT).await;
        let health = answer.map_err(|error| in_one_line(&error.to_string()))?;
        if let Some(problem) = &health.store_problem {
            let Health { server_id, store, .. } = &health;
            return Err(in_one_line(&format!("the {store} store of {server_id} does not work: {problem}")).into());
        }
        match health.problem() {
            Some(problem) => Err(in_one_line(&problem).into()),
            None => Ok(health),
        }
    };
    let health = StopSignals::listen()?.unless(ask).await?;
    if output.is_json() {
        output.document(&health.encode())?;
    } else {
        let Health {
            server_id,
            store,
            capture,
            waiting,
            ..
        } = &health;
        output.line(format!(
            "healthy: server_id={server_id} store={store} capture={capture} waiting={waiting}"
        ))?;
    }
    Ok(())
}

/// Container health checks keep one line of output, and reserve exit code 2.
fn in_one_line(text: &str) -> Failure {
    let text = text.strip_prefix("error: ").unwrap_or(text).replace("\nhint: ", "; ");
    Failure::error(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

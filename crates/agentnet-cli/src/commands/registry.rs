//! `agentnet registry`: the registry alone, on a NATS server that runs already.

use std::path::PathBuf;

use agentnet_protocol::json::ObjectWriter;
use clap::Args;

use super::registry_settings::RegistrySettings;
use super::{given, registry_health};
use crate::cli::Global;
use crate::connection::{checked_url, nats_url};
use crate::ended::Ended;
use crate::output::Output;
use crate::places::data_place;
use crate::signals::StopSignals;
use crate::up::lock::{DataDir, keep_files_private};
use crate::up::stack::{RunningRegistry, embedded_database, registry_keys};

#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// Database: sqlite:///absolute/path, sqlite://relative/path, sqlite::memory: or postgres://user:password@host:port/database
    /// [default: a file in the data directory]
    #[arg(long, value_name = "URL", value_parser = super::not_blank, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Directory of the default database [default: the platform's] [env: AGENTNET_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Do not run a registry: ask the one of this server id whether it and its database work, and exit with 0 or 1
    #[arg(long)]
    pub(crate) health: bool,
    #[command(flatten)]
    settings: RegistrySettings,
}

impl Registry {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let url = nats_url(global);
        if self.health {
            return registry_health::check(url, &self.settings, output).await;
        }
        keep_files_private();
        checked_url(&url)?;
        let mut config = self.settings.config(url)?;
        // Two registries of one database are replicas; two on one default file would be an accident.
        let (database, data_dir) = match given(self.database_url.as_ref()) {
            Some(database) => (database, None),
            None => {
                let data_dir = DataDir::take(&data_place(self.data_dir)?)?;
                let database = embedded_database(&data_dir);
                config.key_dir.get_or_insert_with(|| registry_keys(&data_dir));
                tracing::info!("no DATABASE_URL: the history is kept in {database}");
                (database, Some(data_dir))
            }
        };
        let mut signals = StopSignals::listen()?;
        let mut registry = signals
            .unless(async { Ok(RunningRegistry::start(config, &database).await?) })
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

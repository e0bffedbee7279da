//! `agentnet registry --health`: how the registry of this server id is, for whoever watches over it.

use std::time::Duration;

use agentnet_registry::health::{self, Health};

use super::registry_settings::RegistrySettings;
use crate::ended::{Ended, Failure};
use crate::output::Output;
use crate::signals::StopSignals;

/// How long the whole check may take. A container's health check should wait a little longer.
const DEADLINE: Duration = Duration::from_secs(6);

/// Exit code 0 if the registry answers and has no [`Health::problem`], else 1 with the reason in one line.
pub(crate) async fn check(url: String, settings: &RegistrySettings, output: Output) -> Result<(), Ended> {
    let ask = async {
        let config = settings.config(url).map_err(|failure| in_one_line(&failure.text()))?;
        let answer = health::ask(&config.nats_url, &config.server_id, DEADLINE).await;
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

/// Whoever watches keeps one line. Exit code 2, which else says that the settings are wrong, is reserved for health checks
/// of containers.
fn in_one_line(text: &str) -> Failure {
    let text = text.strip_prefix("error: ").unwrap_or(text).replace("\nhint: ", "; ");
    Failure::trouble(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

//! `agentnet-bench register`: how many agents a second can join.

use crate::Failure;
use crate::database::{Backend, Database};
use crate::measurement::{Measurement, Target};
use crate::network::{Network, Registry};
use crate::raw;
use crate::rpc_caller::{Numbers, RpcCall, RpcCallers};
use crate::sessions;
use crate::settings::Settings;

const IN_FLIGHT: usize = 64;

pub(crate) async fn run(settings: &Settings) -> Result<Vec<Measurement>, Failure> {
    let mut measurements = Vec::new();
    for backend in [Backend::Postgres, Backend::Sqlite] {
        let database = Database::start(backend).await?;
        let network = Network::start(true).await?;
        let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
        let mut limits = raw::RawLimits::start(&network).await?;
        let raw = limits.best(raw::RawPattern::Request, settings.run(IN_FLIGHT)).await?;
        limits.end().await?;
        let watched = database.watched(network.watched()?.and("registry", registry.pid()?));
        let mut callers = RpcCallers::start(&network, watched).await?;
        let call = RpcCall {
            rpc: "register".into(),
            request: r#"{"agent_id":"worker","name":"Worker {n}","username":"worker_{n}","capabilities":["work"],"metadata":{"team":"bench"}}"#.into(),
            expect: r#""username":"worker_{n}""#.into(),
            numbers: Numbers::From(0),
        };
        let calls = callers.run(&call, settings.run(IN_FLIGHT), settings.repeat).await?;
        callers.end().await?;
        let online = sessions::online(&registry).await?;
        let accounts = database
            .number("SELECT count(*) FROM agent_accounts WHERE username LIKE 'worker%'")
            .await?;
        let stored = database.number("SELECT count(*) FROM agent_sessions").await?;
        if [online, accounts, stored] != [calls.completed; 3] {
            return Err(format!(
                "{} registered, {online} are online, {accounts} accounts and {stored} sessions are stored",
                calls.completed
            )
            .into());
        }
        let name = format!("{}, {IN_FLIGHT} in flight", backend.name());
        let costs = calls.costs("register", &name, std::slice::from_ref(&raw));
        let measurement = Measurement::new("register", name.clone(), "/s", calls.rate()).raw(raw.rate());
        measurements.push(match backend {
            Backend::Postgres => measurement.target(Target::AtLeast(5_000.0)),
            Backend::Sqlite => measurement,
        });
        measurements.extend(calls.times("register", &name));
        measurements.extend(costs);
    }
    Ok(measurements)
}

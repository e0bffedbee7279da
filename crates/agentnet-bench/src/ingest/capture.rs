//! A registry that captures messages published at full speed.

use std::time::{Duration, Instant, SystemTime};

use agentnet::json;
use agentnet_protocol::Timestamp;
use agentnet_protocol::ids::message_id;
use agentnet_testkit::RawClient;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::database::{Backend, Database};
use crate::measurement::{Measurement, Target};
use crate::network::{Network, Registry};
use crate::processes;
use crate::runtime_flavor::RuntimeFlavor;
use crate::settings::Settings;
use crate::worker_process::{Worker, WorkerIo, WorkerTask};

/// Publishes messages as fast as possible. A command is a number of messages; the reply is the seconds until the server had
/// them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Publisher {
    pub(crate) url: String,
    pub(crate) bytes: usize,
}

impl WorkerTask for Publisher {
    const NAME: &'static str = "publisher";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        let text = "x".repeat(self.bytes.saturating_sub(11));
        io.ready().await?;
        while let Some(messages) = io.next_command::<u64>().await? {
            let since = Instant::now();
            for number in 0..messages {
                let now = Timestamp::from(SystemTime::now());
                let id = message_id(now.as_unix_millis(), rand::random());
                let (from, to) = (number % 100, (number + 1) % 100);
                let body = json!({
                    "message_id": id, "from_agent": "publisher", "to_agent": format!("acct_{to}"),
                    "payload": { "text": &text }, "sent_at": now.to_string(), "kind": "direct",
                    "schema_version": "1.1", "from_account_id": format!("acct_{from}"), "trace_id": &id,
                    "to_account_id": format!("acct_{to}"), "ttl_ms": 30_000, "thread_id": format!("t{}", number / 20),
                });
                client
                    .publish(format!("account.acct_{to}.inbox"), body.to_string().into())
                    .await?;
            }
            client.flush().await?;
            io.reply(&since.elapsed().as_secs_f64()).await?;
        }
        Ok(())
    }
}

pub(super) async fn run(settings: &Settings, messages: u64, backends: &[Backend]) -> Result<Vec<Measurement>, Failure> {
    let both = [Backend::Postgres, Backend::Sqlite];
    let mut measurements = Vec::new();
    for &backend in match backends {
        [] => &both[..],
        some => some,
    } {
        let database = Database::start(backend).await?;
        let network = Network::start(true).await?;
        let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
        let publisher = Publisher {
            url: network.url.clone(),
            bytes: settings.bytes,
        };
        let mut publisher = Worker::start(publisher, RuntimeFlavor::MultiThread).await?;
        let since = Instant::now();
        let published: f64 = publisher.ask(&messages).await?;
        registry.wait_until_stored(messages).await?;
        let took: Duration = since.elapsed();
        let memory = processes::peak(registry.pid()?)? as f64 / 1e6;
        publisher.stop().await?;
        drop(registry);
        let stored = database.number("SELECT count(*) FROM agent_messages").await?;
        if stored != messages {
            return Err(format!("{messages} messages were published, {stored} are in the table").into());
        }
        let name = format!("{}, {messages} published at full speed", backend.name());
        let measurement = |what: &str, unit, value| Measurement::new("ingest", format!("{name}: {what}"), unit, value);
        measurements.push(measurement("published", "/s", messages as f64 / published));
        measurements.push(measurement("stored", "/s", messages as f64 / took.as_secs_f64()));
        measurements.push(measurement("registry's memory at most", "MB", memory).target(Target::AtMost(100.0)));
    }
    Ok(measurements)
}

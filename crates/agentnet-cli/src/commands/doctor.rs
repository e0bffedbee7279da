//! `agentnet doctor`: what is well on this network, what is not, and what to do about it.
//!
//! Looked at in this order: the connection and its token; the server, JetStream and the stream; the registry, its version,
//! clock, store and lag; the sessions. `checks` says what each finding means; here everything is asked.

mod checks;
mod report;

use std::time::{Duration, Instant, SystemTime};

use agentnet::{ConnectError, RegistryClient};
use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::MetricsRequest;
use agentnet_registry::health;
use async_nats::{Client, jetstream};
use clap::Args;

use crate::cli::Global;
use crate::connection::{CallTimeout, checked_url, connect_failure, nats_url, registry_failure};
use crate::ended::{Ended, Failure};
use crate::output::Output;
use crate::output::ago::now;
use crate::output::waiting::Waiting;
use crate::signals::StopSignals;
use report::{Check, Finding, Report};

/// The stream of captured messages (docs/PROTOCOL.md).
const STREAM: &str = "AGENTNET_HISTORY";
/// How long the health of one registry may take.
const HEALTH: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Doctor {
    /// Exit code 0 if nothing failed (warnings may stand), else 1.
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let url = nats_url(global);
        let shown = checked_url(&url)?.redacted();
        let mut signals = StopSignals::listen()?;
        let waiting = Waiting::start(output, format!("examining {shown}"));
        let report = signals.unless(async { Ok(self.examine(&url, &shown).await) }).await?;
        waiting.end();
        match output.is_json() {
            true => output.document(&report.encode(&shown))?,
            false => output.line(report.text(output))?,
        }
        match report.failed() {
            0 => Ok(()),
            1 => Err(Failure::trouble("1 check failed").into()),
            failed => Err(Failure::trouble(format!("{failed} checks failed")).into()),
        }
    }

    async fn examine(&self, url: &str, shown: &str) -> Report {
        let mut report = Report::default();
        let Some(client) = connect(url, shown, &mut report).await else {
            report.skip_rest("there is no connection");
            return report;
        };
        server(&client, &mut report).await;
        self.registry(&client, url, &mut report).await;
        report
    }

    async fn registry(&self, client: &Client, url: &str, report: &mut Report) {
        let registry = RegistryClient::new(client.clone()).with_timeout(self.timeout.duration());
        let (asked_at, since) = (now(), Instant::now());
        let metrics = match registry.call(&MetricsRequest).await {
            Ok(metrics) => metrics,
            Err(error) => {
                let failure = registry_failure(&error);
                report.add(Check::Registry, Finding::fail(error.to_string(), failure.advice()));
                report.skip_rest("no registry answers");
                return;
            }
        };
        let took = since.elapsed();
        report.add(Check::Registry, checks::registry(&metrics, took));
        report.add(
            Check::Version,
            checks::version(metrics.version.as_deref(), env!("CARGO_PKG_VERSION")),
        );
        report.add(Check::Clock, checks::clock(&metrics.generated_at, asked_at, took));
        report.add(Check::Store, store(&metrics, url).await);
        report.add(Check::Lag, checks::lag(&metrics));
        match registry.list_online().await {
            Ok(online) => report.add(
                Check::Sessions,
                checks::sessions(&online, Timestamp::from(SystemTime::now())),
            ),
            Err(error) => report.add(Check::Sessions, Finding::fail(error.to_string(), None)),
        }
    }
}

async fn connect(url: &str, shown: &str, report: &mut Report) -> Option<Client> {
    let since = Instant::now();
    match agentnet::connect(url, "agentnet-cli-doctor").await {
        Ok(client) => {
            report.add(
                Check::Connection,
                Finding::pass(format!(
                    "{shown} answered within {} ms",
                    since.elapsed().as_millis().max(1)
                )),
            );
            report.add(Check::Token, Finding::pass("the credentials of the URL are accepted"));
            Some(client)
        }
        Err(error) => {
            let refused = matches!(error, ConnectError::Refused { .. });
            let text = error.to_string();
            let failed = Finding::fail(text, connect_failure(error).advice());
            if refused {
                report.add(Check::Connection, Finding::pass(format!("{shown} answers")));
                report.add(Check::Token, failed);
            } else {
                report.add(Check::Connection, failed);
            }
            None
        }
    }
}

async fn server(client: &Client, report: &mut Report) {
    let info = client.server_info();
    report.add(
        Check::Server,
        checks::server(&info.version, &info.server_name, info.cluster.as_deref()),
    );
    let mut context = jetstream::new(client.clone());
    context.set_timeout(Duration::from_secs(3));
    if let Err(error) = context.query_account().await {
        report.add(Check::JetStream, checks::no_jetstream(&error.to_string()));
        return;
    }
    report.add(
        Check::JetStream,
        match context.get_stream(STREAM).await {
            Ok(stream) => {
                let info = stream.cached_info();
                let leader = info.cluster.as_ref().map(|cluster| cluster.leader.is_some());
                checks::stream(
                    info.config.no_ack,
                    info.config.num_replicas,
                    info.state.messages,
                    leader,
                )
            }
            Err(error) => checks::no_stream(&error.to_string()),
        },
    );
}

/// The registry that answered is asked by its name, whose answer tells of its database.
async fn store(metrics: &agentnet_protocol::rpc::MetricsReply, url: &str) -> Finding {
    if metrics.store_backend.is_none() {
        return Finding::skip("a registry of the original tells nothing of its store");
    }
    checks::store(health::ask(url, &metrics.server_id, HEALTH).await)
}

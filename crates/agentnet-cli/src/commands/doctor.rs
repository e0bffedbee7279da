//! `agentnet doctor`: checks a network, with advice for each problem.
//!
//! The order: connection and token; server, JetStream and stream; registry, its version, clock, store and lag; mailboxes;
//! tasks; sessions. This module sends the requests; `server_checks`, `registry_checks`, `mailbox_checks` and `task_checks` judge
//! the answers.

mod mailbox_checks;
mod registry_checks;
mod report;
mod server_checks;
mod task_checks;

use std::time::{Duration, Instant, SystemTime};

use agentnet::{ConnectError, Connection, RegistryClient};
use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::{MailboxStatusRequest, MetricsReply, MetricsRequest};
use agentnet_protocol::subject::issued;
use agentnet_registry::health::{self, Health, HealthError};
use async_nats::{Client, jetstream};
use bytes::Bytes;
use clap::Args;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::args::CallTimeout;
use crate::commands::identity_args::environment_signs;
use crate::connection::{checked_url, may_ask_health, nats_url};
use crate::exit::{Exit, Failure};
use crate::failures::{connect_failure, registry_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::relative_time::now;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;
use report::{Check, Finding, Report};

/// The stream of captured messages (docs/PROTOCOL.md).
const STREAM: &str = "AGENTNET_HISTORY";
/// The consumer that the registries share (docs/PROTOCOL.md).
const CONSUMER: &str = "agentnet-registry";
/// Timeout of a registry's health request.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// How much later a second registry with the same server id may answer.
const DUPLICATE_TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Doctor {
    /// Exit code 0 if no check failed (warnings are allowed), else 1.
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let url = nats_url(global);
        let shown = checked_url(&url)?.redacted();
        let signs = environment_signs()?;
        let asks_health = may_ask_health(global);
        let mut signals = StopSignals::listen()?;
        let spinner = Spinner::start(output, format!("examining {shown}"));
        let report = signals
            .unless(async { Ok(self.examine(&url, &shown, signs, asks_health).await) })
            .await?;
        spinner.end();
        match output.is_json() {
            true => output.document(&report.encode(&shown))?,
            false => output.line(report.text(output))?,
        }
        match report.failed() {
            0 => Ok(()),
            1 => Err(Failure::error("1 check failed").into()),
            failed => Err(Failure::error(format!("{failed} checks failed")).into()),
        }
    }

    async fn examine(&self, url: &str, shown: &str, signs: bool, asks_health: bool) -> Report {
        let mut report = Report::default();
        let Some(connection) = connect(url, shown, &mut report).await else {
            report.skip_rest("there is no connection");
            return report;
        };
        server(connection.nats(), connection.account_id().is_some(), &mut report).await;
        let health_url = Some(url).filter(|_| asks_health);
        self.registry(&connection, health_url, signs, &mut report).await;
        report
    }

    /// `health_url` is absent for members that may not ask for the health of a registry.
    async fn registry(&self, connection: &Connection, health_url: Option<&str>, signs: bool, report: &mut Report) {
        let registry = RegistryClient::on(connection).with_timeout(self.timeout.duration());
        let (asked_at, since) = (now(), Instant::now());
        let metrics = match registry.call(&MetricsRequest).await {
            Ok(metrics) => metrics,
            Err(error) => {
                let failure = registry_failure(&error);
                report.add(Check::Registry, Finding::fail(error.to_string(), failure.into_hint()));
                report.skip_rest("no registry answers");
                return;
            }
        };
        let took = since.elapsed();
        let (duplicates, health) = match health_url {
            Some(url) => {
                let found = count_registries(connection, &metrics.server_id).await;
                let duplicates = registry_checks::duplicates(&metrics.server_id, found);
                (duplicates, health_of(&metrics, url).await)
            }
            None => (None, None),
        };
        let signing = health
            .as_ref()
            .and_then(|asked| registry_checks::signing(asked.as_ref().ok()?, signs));
        report.add(
            Check::Registry,
            Finding::worst(registry_checks::registry(&metrics, took), [duplicates, signing]),
        );
        report.add(
            Check::Version,
            registry_checks::version(metrics.version.as_deref(), env!("CARGO_PKG_VERSION")),
        );
        report.add(
            Check::Clock,
            registry_checks::clock(&metrics.generated_at, asked_at, took),
        );
        let dropped = health
            .as_ref()
            .and_then(|asked| registry_checks::dropped(asked.as_ref().ok()?));
        let store = match health_url {
            Some(_) => store(health),
            None => Finding::skip("not checked: only operators may ask a registry for its health"),
        };
        report.add(Check::Store, store);
        report.add(Check::Lag, Finding::worst(registry_checks::lag(&metrics), [dropped]));
        report.add(Check::Mailbox, self.mailboxes(connection).await);
        report.add(Check::Tasks, self.tasks(connection).await);
        match registry.list_online().await {
            Ok(online) => report.add(
                Check::Sessions,
                registry_checks::sessions(&online, Timestamp::from(SystemTime::now())),
            ),
            Err(error) => report.add(Check::Sessions, Finding::fail(error.to_string(), None)),
        }
    }

    async fn mailboxes(&self, connection: &Connection) -> Finding {
        // On a client of its own: an older registry does not answer, and is then not waited for.
        let registry = RegistryClient::on(connection).with_timeout(self.timeout.duration());
        let asked = registry.call(&MailboxStatusRequest::default()).await;
        mailbox_checks::mailboxes(asked, now())
    }

    async fn tasks(&self, connection: &Connection) -> Finding {
        let registry = RegistryClient::on(connection).with_timeout(self.timeout.duration());
        task_checks::tasks(task_checks::ask(&registry, now()).await, now())
    }
}

async fn connect(url: &str, shown: &str, report: &mut Report) -> Option<Connection> {
    let since = Instant::now();
    match Connection::open(url, "agentnet-cli-doctor").await {
        Ok(connection) => {
            report.add(
                Check::Connection,
                Finding::pass(format!(
                    "{shown} answered within {} ms",
                    since.elapsed().as_millis().max(1)
                )),
            );
            report.add(
                Check::Token,
                server_checks::token(url, &connection.nats().server_info().host),
            );
            Some(connection)
        }
        Err(error) => {
            let refused = matches!(error, ConnectError::Refused { .. });
            let text = error.to_string();
            let failed = Finding::fail(text, connect_failure(error).into_hint());
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

async fn server(client: &Client, is_secure: bool, report: &mut Report) {
    let info = client.server_info();
    report.add(
        Check::Server,
        server_checks::server(&info.version, &info.server_name, info.cluster.as_deref()),
    );
    if is_secure {
        let why = "not checked: in secure mode, registries alone have rights in JetStream";
        report.add(Check::JetStream, Finding::skip(why));
        return;
    }
    let mut context = jetstream::new(client.clone());
    context.set_timeout(Duration::from_secs(3));
    let account = match context.query_account().await {
        Ok(account) => account,
        Err(error) => {
            report.add(Check::JetStream, server_checks::no_jetstream(&error.to_string()));
            return;
        }
    };
    let stream = match context.get_stream(STREAM).await {
        Ok(stream) => stream,
        Err(error) => {
            report.add(Check::JetStream, server_checks::no_stream(&error.to_string()));
            return;
        }
    };
    let info = stream.cached_info();
    let leader = info.cluster.as_ref().map(|cluster| cluster.leader.is_some());
    let room = server_checks::room(&[
        ("the stream's bytes", info.state.bytes, info.config.max_bytes),
        ("the stream's messages", info.state.messages, info.config.max_messages),
        (
            "JetStream's disk space",
            account.storage,
            account.limits.max_storage.unwrap_or(-1),
        ),
    ]);
    let consumer = stream.consumer_info(CONSUMER).await;
    let consumer = server_checks::consumer(
        consumer
            .map(|consumer| (consumer.paused, consumer.pause_remaining))
            .map_err(|error| error.to_string()),
    );
    let stream = server_checks::stream(
        info.config.no_ack,
        info.config.num_replicas,
        info.state.messages,
        leader,
    );
    report.add(Check::JetStream, Finding::worst(stream, [room, consumer]));
}

/// The health of the registry that answered. `None` for a registry of the Python implementation, which has no such request.
async fn health_of(metrics: &MetricsReply, url: &str) -> Option<Result<Health, HealthError>> {
    metrics.store_backend.as_ref()?;
    Some(health::ask(url, &metrics.server_id, HEALTH_TIMEOUT).await)
}

fn store(health: Option<Result<Health, HealthError>>) -> Finding {
    match health {
        Some(asked) => registry_checks::store(asked),
        None => Finding::skip("a registry of the Python implementation does not report it"),
    }
}

/// The number of registries with this server id; 0 without an answer.
async fn count_registries(connection: &Connection, server_id: &str) -> usize {
    let client = connection.nats();
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else {
        return 0;
    };
    let subject = match connection.account_id() {
        Some(own) => issued(&health::subject(server_id), own),
        None => health::subject(server_id),
    };
    let asked = client.publish_with_reply(subject, inbox, Bytes::new());
    if asked.await.is_err() {
        return 0;
    }
    let mut registries = 0;
    // A second one answers about as fast as the first.
    let mut next_timeout = HEALTH_TIMEOUT;
    while let Ok(Some(answer)) = timeout(next_timeout, answers.next()).await {
        // A reply without a body is the server's "no responders".
        registries += usize::from(!answer.payload.is_empty());
        next_timeout = DUPLICATE_TIMEOUT;
        if answer.payload.is_empty() || registries > 9 {
            break;
        }
    }
    registries
}

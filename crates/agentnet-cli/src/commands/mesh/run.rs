//! `agentnet mesh run`: the agents of a file, until they are stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use agentnet_mesh::config;
use agentnet_mesh::host::watch::{FileWatch, files_of};
use agentnet_mesh::host::{AgentStatus, Host, HostError, HostEvent, HostOptions};
use clap::Args;
use tokio::sync::mpsc;

use super::event_printer::EventPrinter;
use super::metrics_page;
use super::source::Source;
use crate::args::not_blank;
use crate::commands::identity_args::SigningArgs;
use crate::connection::{checked_url, default_nats_url};
use crate::data_dir;
use crate::exit::{Exit, Failure};
use crate::failures::{connect_failure, start_failure};
use crate::global::Global;
use crate::output::log_block::{BlockLog, LogStyle};
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::output::table::Rows;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;
use crate::up::lock::keep_files_private;

/// How long an interrupted start may still take, so that sessions that were opened can be closed.
const INTERRUPTED_START_TIMEOUT: Duration = Duration::from_secs(2);
/// Events of the host that may wait to be taken.
const EVENT_QUEUE: usize = 256;

#[derive(Debug, Args)]
#[command(after_help = "\
The file is read again when it or a prompt changes, and on SIGHUP; messages at hand are finished with what they began with. An \
invalid file changes nothing. Ctrl-C or SIGTERM ends the agents; a second one at once.")]
pub(crate) struct Run {
    #[command(flatten)]
    source: Source,
    /// Run only this agent; may be given several times
    #[arg(long, value_name = "KEY", value_parser = not_blank)]
    only: Vec<String>,
    /// Do not watch the file and its prompts
    #[arg(long)]
    no_watch: bool,
    /// Directory of what `agentnet mesh usage` reads [default: the platform's data directory] [env: AGENTNET_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Serve GET /metrics (Prometheus) and GET /healthz here over HTTP; port 0 takes a free one [default: nowhere]
    #[arg(long, value_name = "IP:PORT")]
    metrics_addr: Option<SocketAddr>,
    /// How messages are printed [default: pretty on a terminal, else json]
    #[arg(long, value_name = "STYLE", value_enum)]
    log: Option<LogStyle>,
    #[command(flatten)]
    signing: SigningArgs,
}

impl Run {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        keep_files_private();
        let default = if output.is_terminal() {
            LogStyle::Pretty
        } else {
            LogStyle::Json
        };
        let log = BlockLog::new(output, self.log, default)?;
        let (mut signals, mut reload_signal) = StopSignals::listen_with_reload()?;
        let mesh = self.source.load()?.into_logged();
        let page = metrics_page::bind(self.metrics_addr).await?;
        let (events, mut happened) = mpsc::channel(EVENT_QUEUE);
        let mut watch = self.watch(&mesh);
        let host = start(mesh, self.options(global, events)?, &mut signals, output).await?;
        let metrics_url = page.as_ref().map(|page| format!("http://{}/metrics", page.address()));
        let page = page.map(|page| metrics_page::serve(page, &host));
        let agents = host.agents().await;
        let announcement = move || announce(&agents, metrics_url.as_deref(), log, output);
        let mut printer = EventPrinter::start(announcement, log).map_err(thread_failure)?;
        loop {
            let reload = async {
                tokio::select! {
                    () = reload_signal.wait() => {}
                    () = changed(&mut watch) => {}
                }
            };
            tokio::select! {
                _ = signals.wait() => break,
                () = reload => {
                    let work = async { self.reload(&host, &mut watch).await; Ok(()) };
                    if signals.unless(work).await.is_err() {
                        break;
                    }
                }
                Some(event) = happened.recv() => printer.print(event),
            }
        }
        tracing::info!("stopping");
        if let Some(page) = page {
            page.abort();
        }
        let mut closing = pin!(close(host, &mut signals));
        let ended = loop {
            tokio::select! {
                ended = &mut closing => break ended,
                // Messages at hand are answered while the agents leave.
                Some(event) = happened.recv() => printer.print(event),
            }
        };
        while let Ok(event) = happened.try_recv() {
            printer.print(event);
        }
        printer.finish().await;
        ended
    }

    fn options(&self, global: &Global, events: mpsc::Sender<HostEvent>) -> Result<HostOptions, Failure> {
        let key_dir = self.signing.signing_directory()?;
        Ok(HostOptions {
            nats_url: nats_url(global),
            only: self.only.clone(),
            data_dir: Some(data_dir::choose(self.data_dir.clone())?.path),
            dev_auth: Some(key_dir.is_some()),
            key_dir,
            events: Some(events),
            ..HostOptions::default()
        })
    }

    /// Watches the files. Where that is not possible, SIGHUP still reloads.
    fn watch(&self, mesh: &config::Mesh) -> Option<FileWatch> {
        if self.no_watch {
            return None;
        }
        let watch = FileWatch::start(files_of(mesh));
        watch
            .inspect_err(|error| tracing::warn!("{error}; a reload needs SIGHUP"))
            .ok()
    }

    /// Reads the file again. One that is invalid is logged, and changes nothing.
    async fn reload(&self, host: &Host, watch: &mut Option<FileWatch>) {
        let file = self.source.path().display();
        let mut read = self.source.reload();
        if let (Ok(loaded), Some(watch)) = (&read, watch) {
            if let Err(error) = watch.watch(files_of(&loaded.mesh)) {
                tracing::warn!("{error}");
            }
            // Once more: a prompt may have changed after it was read and before it was watched.
            read = self.source.reload();
        }
        let mesh = match read {
            Ok(loaded) => loaded.into_logged(),
            Err(problems) => {
                host.metrics().record_reload(false);
                return tracing::error!("{file} is not taken, the agents go on as they are: {problems}");
            }
        };
        match host.reload(mesh).await {
            Ok(report) if report.failed.is_empty() => tracing::info!("{file} was read again: {report}"),
            Ok(report) => tracing::error!("{file} was read again: {report}"),
            Err(error) => tracing::error!("{file} is not taken, the agents go on as they are: {error}"),
        }
    }
}

/// The address of NATS, unless only the file names one: the flag, `AGENTNET_NATS_URL`.
pub(super) fn nats_url(global: &Global) -> Option<String> {
    let variable = || std::env::var("AGENTNET_NATS_URL").ok();
    global.nats_url.clone().or_else(variable)
}

/// Starts the host. After a signal, agents that have joined leave again; a second signal ends this at once.
pub(super) async fn start(
    mesh: config::Mesh,
    options: HostOptions,
    signals: &mut StopSignals,
    output: Output,
) -> Result<Host, Exit> {
    let options = match (&options.nats_url, &mesh.nats_url) {
        (None, None) => HostOptions {
            nats_url: Some(default_nats_url(None)),
            ..options
        },
        _ => options,
    };
    let url = options
        .nats_url
        .clone()
        .or_else(|| mesh.nats_url.clone())
        .unwrap_or_else(|| default_nats_url(None));
    let spinner = Spinner::start(
        output,
        format!("joining the network at {}", checked_url(&url)?.redacted()),
    );
    let mut ended = None;
    let interrupted = async {
        ended = Some(signals.wait().await);
        // A second signal does not wait.
        let _ = tokio::time::timeout(INTERRUPTED_START_TIMEOUT, signals.wait()).await;
    };
    let started = Host::start_until(mesh, options, interrupted).await;
    spinner.end();
    match (started, ended) {
        (started, None) => Ok(started.map_err(host_failure)?),
        (Ok(host), Some(ended)) => {
            close(host, signals).await?;
            Err(ended)
        }
        (Err(_), Some(ended)) => Err(ended),
    }
}

/// Leaves the network. A second signal ends what still runs; those who wait for it are told.
pub(super) async fn close(host: Host, signals: &mut StopSignals) -> Result<(), Exit> {
    let mut forced = None;
    host.close_until(async { forced = Some(signals.wait().await) }).await;
    forced.map_or(Ok(()), Err)
}

fn host_failure(error: HostError) -> Failure {
    let text = error.to_string();
    match error {
        HostError::Connect(error) => connect_failure(error),
        HostError::Start { agent, source } => start_failure(source).within(&format!("agent {agent}")),
        HostError::Ledger { .. } => {
            Failure::error(text).hint("name another directory with --data-dir DIR, or make this one writable for you")
        }
        HostError::HttpClient(_) => Failure::error(text),
        _ => Failure::refused(text),
    }
}

fn thread_failure(error: std::io::Error) -> Failure {
    Failure::error(format!("the thread that prints messages cannot be started: {error}"))
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Prints that the agents are online.
fn announce(agents: &[AgentStatus], metrics_url: Option<&str>, log: BlockLog, output: Output) -> std::io::Result<()> {
    if !log.is_pretty() {
        let document = serde_json::json!({ "event": "ready", "agents": agents, "metrics_url": metrics_url });
        return output.document_line(&document.to_string());
    }
    let mut rows = Rows::new(output, &["Agent", "Username", "Account", "State"]).yielding(&["Account"]);
    for agent in agents {
        let state = match agent.missing.as_slice() {
            [] => output.tint(Tint::Green, "ready"),
            missing => format!("degraded: {} is not set", clean(&missing.join(", "))),
        };
        rows.push([
            clean(&agent.key).into_owned(),
            format!("@{}", clean(&agent.username)),
            output.account(Some(&agent.account_id)),
            state,
        ]);
    }
    output.line(rows.finish())?;
    if let Some(url) = metrics_url {
        output.line(format!("metrics are served at {url}"))?;
    }
    output.line(output.tint(Tint::Dim, "Ctrl-C stops the agents"))
}

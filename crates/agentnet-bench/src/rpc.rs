//! `agentnet-bench rpc`: registry calls, by the number of accounts and online sessions.

use agentnet::json;
use agentnet::protocol::rpc::ListRequest;
use clap::ValueEnum;

use crate::Failure;
use crate::database::{Backend, Database};
use crate::latency::Latency;
use crate::measurement::{Measurement, Target, median};
use crate::network::{Network, Registry};
use crate::raw;
use crate::rpc_caller::{CallOutcomes, Numbers, RpcCall, RpcCallers};
use crate::run::RunOutcome;
use crate::sessions;
use crate::settings::Settings;

/// A measured call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RpcName {
    /// The account of a username
    ResolveAccount,
    /// Who is online
    List,
    /// Accounts by a part of their name
    Search,
    /// All about one account
    Profile,
    /// The registry's counters
    Metrics,
}

/// The number of accounts in the store and of sessions online.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    pub(crate) accounts: u64,
    pub(crate) sessions: u64,
    pub(crate) backend: Backend,
}

/// Measures the calls one after the other on one network.
pub(crate) async fn run(
    settings: &Settings,
    names: &[RpcName],
    population: Population,
) -> Result<Vec<Measurement>, Failure> {
    let Population {
        accounts,
        sessions,
        backend,
    } = population;
    let accounts = accounts.max(sessions);
    let database = Database::start(backend).await?;
    sessions::fill_accounts(&database, accounts).await?;
    let network = Network::start(true).await?;
    let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    sessions::bring_online(&network, &registry, sessions).await?;
    let watched = database.watched(network.watched()?.and("registry", registry.pid()?));
    let mut bench = RpcBench {
        settings,
        accounts,
        sessions,
        title: format!("{} accounts, {} online, {}", accounts, sessions, backend.name()),
        callers: RpcCallers::start(&network, watched).await?,
        network,
        registry,
        measurements: Vec::new(),
    };
    for name in names {
        match name {
            RpcName::ResolveAccount => bench.resolve_account().await?,
            RpcName::List => bench.list().await?,
            RpcName::Search => bench.search().await?,
            RpcName::Profile => {
                let call = bench.call("profile", r#"{"username":"worker_{n}"}"#, WORKER_USERNAME);
                bench.sequential(&call, None, None).await?;
            }
            RpcName::Metrics => {
                let call = bench.call("metrics", "{}", r#""online_sessions""#);
                bench.sequential(&call, None, None).await?;
            }
        }
    }
    bench.callers.end().await?;
    Ok(bench.measurements)
}

/// What a reply about one account contains.
const WORKER_USERNAME: &str = r#""username":"worker_{n}""#;

/// A network with its population, and the measurements on it.
struct RpcBench<'a> {
    settings: &'a Settings,
    accounts: u64,
    sessions: u64,
    title: String,
    callers: RpcCallers,
    network: Network,
    registry: Registry,
    measurements: Vec<Measurement>,
}

impl RpcBench<'_> {
    fn call(&self, rpc: &str, request: &str, expect: &str) -> RpcCall {
        RpcCall {
            rpc: rpc.to_owned(),
            request: request.to_owned(),
            expect: expect.to_owned(),
            numbers: Numbers::Random(self.accounts),
        }
    }

    async fn resolve_account(&mut self) -> Result<(), Failure> {
        let call = self.call("resolve_account", r#"{"username":"worker_{n}"}"#, WORKER_USERNAME);
        let mut limits = raw::RawLimits::start(&self.network).await?;
        let mut of_raw = Vec::new();
        let run = crate::run::Run {
            bytes: 140,
            ..self.settings.run(256)
        };
        for _ in 0..self.settings.repeat {
            of_raw.push(limits.best(raw::RawPattern::Request, run).await?);
        }
        limits.end().await?;
        let many = self.many(&call, 256).await?;
        let (command, in_flight) = ("rpc resolve_account", format!("{}, 256 in flight", self.title));
        self.measurements.push(
            Measurement::new(command, in_flight.as_str(), "/s", many.rate())
                .raw(median(of_raw.iter().map(RunOutcome::rate)))
                .target(Target::ShareAtLeast(0.5)),
        );
        self.measurements.extend(many.costs(command, &in_flight, &of_raw));
        self.sequential(&call, None, None).await
    }

    async fn list(&mut self) -> Result<(), Failure> {
        let first = self.call("list", "{}", r#"{"generated_at""#);
        let many = self.many(&first, 8).await?;
        let measurement = Measurement::new("rpc list", format!("{}, 8 in flight", self.title), "/s", many.rate());
        self.measurements.push(match self.sessions {
            1_000 => measurement.target(Target::AtLeast(1_500.0)),
            _ => measurement,
        });
        self.pages().await
    }

    async fn search(&mut self) -> Result<(), Failure> {
        let limit = if self.accounts > 100_000 { 5.0 } else { 2.0 };
        for (what, request, expect) in [
            ("one name", r#"{"query":"worker_{n}","limit":20}"#, WORKER_USERNAME),
            (
                "a word that all have",
                r#"{"query":"work","limit":20}"#,
                r#""username":"worker_"#,
            ),
            ("nothing found", r#"{"query":"zzz{n}","limit":20}"#, r#""results":[]"#),
            (
                "by capability",
                r#"{"query":"","capability":"work","limit":20}"#,
                r#""username":"worker_"#,
            ),
        ] {
            let call = self.call("search", request, expect);
            self.sequential(&call, Some(what), Some(limit)).await?;
        }
        Ok(())
    }

    async fn many(&mut self, call: &RpcCall, in_flight: usize) -> Result<CallOutcomes, Failure> {
        let run = self.settings.run(in_flight);
        self.callers.run(call, run, self.settings.repeat).await
    }

    /// Measures sequential calls; `limit` is the target for p50, in milliseconds.
    async fn sequential(&mut self, call: &RpcCall, what: Option<&str>, limit: Option<f64>) -> Result<(), Failure> {
        let calls = self.many(call, 1).await?;
        let title = match what {
            Some(what) => format!("{}, {what}", self.title),
            None => self.title.clone(),
        };
        let [p50, p99] = calls.times(&format!("rpc {}", call.rpc), &title);
        self.measurements.push(match limit {
            Some(limit) => p50.target(Target::AtMost(limit)),
            None => p50,
        });
        self.measurements.push(p99);
        Ok(())
    }

    /// Times each page of the whole list. Fails unless the pages contain all sessions.
    async fn pages(&mut self) -> Result<(), Failure> {
        let mut latency = Latency::new()?;
        for _ in 0..self.settings.repeat {
            let mut found = 0;
            let mut request = ListRequest::default();
            loop {
                let since = std::time::Instant::now();
                let body = self.registry.client().call_raw(&request).await?;
                latency.record(since.elapsed());
                let page = agentnet::protocol::rpc::decode_reply::<ListRequest>(&body)?;
                found += page.agents.len() as u64;
                match page.next_cursor {
                    Some(cursor) => request.cursor = Some(cursor),
                    None => break,
                }
            }
            if found != self.sessions {
                let sessions = self.sessions;
                let last = json!(request.cursor);
                return Err(format!("{sessions} sessions are online, {found} were listed: {last}").into());
            }
        }
        for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
            self.measurements.push(
                Measurement::new(
                    "rpc list",
                    format!("{}, a page as large as fits, {what}", self.title),
                    "ms",
                    latency.micros(share) / 1000.0,
                )
                .target(Target::AtMost(20.0)),
            );
        }
        Ok(())
    }
}

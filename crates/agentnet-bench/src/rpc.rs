//! `agentnet-bench rpc`: what the registry answers, with so many accounts and live sessions.

use agentnet::json;
use agentnet::protocol::rpc::ListRequest;
use clap::ValueEnum;

use crate::Failure;
use crate::caller::{Call, Callers, Calls, Numbers};
use crate::cli::Settings;
use crate::database::{Backend, Database};
use crate::figure::{Figure, Target, median};
use crate::latency::Latency;
use crate::network::{Network, Registry};
use crate::raw;
use crate::run::Outcome;
use crate::sessions;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
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

/// How many accounts are in the store, and how many of them are online.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    pub(crate) accounts: u64,
    pub(crate) sessions: u64,
    pub(crate) backend: Backend,
}

pub(crate) async fn run(settings: &Settings, name: Name, population: Population) -> Result<Vec<Figure>, Failure> {
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
    let title = format!("{} accounts, {} online, {}", accounts, sessions, backend.name());
    let mut figures = Vec::new();
    let watched = database.watched(network.watched()?.and("registry", registry.pid()?));
    let mut callers = Callers::start(&network, watched).await?;
    let call = |request: &str, expect: &str| Call {
        rpc: rpc_name(name).to_owned(),
        request: request.to_owned(),
        expect: expect.to_owned(),
        numbers: Numbers::Random(accounts),
    };
    match name {
        Name::ResolveAccount => {
            let call = call(r#"{"username":"worker_{n}"}"#, r#""username":"worker_{n}""#);
            let mut limits = raw::Limits::start(&network).await?;
            let mut of_raw = Vec::new();
            let run = crate::run::Run {
                bytes: 140,
                ..settings.run(256)
            };
            for _ in 0..settings.repeat {
                of_raw.push(limits.best(raw::Kind::Request, run).await?);
            }
            limits.end().await?;
            let many = callers.run(&call, settings.run(256), settings.repeat).await?;
            let (command, in_flight) = ("rpc resolve_account", format!("{title}, 256 in flight"));
            figures.push(
                Figure::new(command, in_flight.as_str(), "/s", many.rate())
                    .raw(median(of_raw.iter().map(Outcome::rate)))
                    .target(Target::ShareAtLeast(0.5)),
            );
            figures.extend(many.costs(command, &in_flight, &of_raw));
            sequential(settings, &mut callers, &call, &title, None, &mut figures).await?;
        }
        Name::List => {
            let first = call("{}", r#"{"generated_at""#);
            let many = callers.run(&first, settings.run(8), settings.repeat).await?;
            let figure = Figure::new("rpc list", format!("{title}, 8 in flight"), "/s", many.rate());
            figures.push(match sessions {
                1_000 => figure.target(Target::AtLeast(1_500.0)),
                _ => figure,
            });
            pages(settings, &registry, sessions, &title, &mut figures).await?;
        }
        Name::Search => {
            let limit = if accounts > 100_000 { 5.0 } else { 2.0 };
            for (what, request, expect) in [
                (
                    "one name",
                    r#"{"query":"worker_{n}","limit":20}"#,
                    r#""username":"worker_{n}""#,
                ),
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
                let title = format!("{title}, {what}");
                sequential(
                    settings,
                    &mut callers,
                    &call(request, expect),
                    &title,
                    Some(limit),
                    &mut figures,
                )
                .await?;
            }
        }
        Name::Profile => {
            let call = call(r#"{"username":"worker_{n}"}"#, r#""username":"worker_{n}""#);
            sequential(settings, &mut callers, &call, &title, None, &mut figures).await?;
        }
        Name::Metrics => {
            let call = call("{}", r#""online_sessions""#);
            sequential(settings, &mut callers, &call, &title, None, &mut figures).await?;
        }
    }
    callers.end().await?;
    Ok(figures)
}

fn rpc_name(name: Name) -> &'static str {
    match name {
        Name::ResolveAccount => "resolve_account",
        Name::List => "list",
        Name::Search => "search",
        Name::Profile => "profile",
        Name::Metrics => "metrics",
    }
}

/// One call after the other; a limit is for p50, in milliseconds.
async fn sequential(
    settings: &Settings,
    callers: &mut Callers,
    call: &Call,
    title: &str,
    limit: Option<f64>,
    figures: &mut Vec<Figure>,
) -> Result<(), Failure> {
    let calls: Calls = callers.run(call, settings.run(1), settings.repeat).await?;
    let [p50, p99] = calls.times(&format!("rpc {}", call.rpc), title);
    figures.push(match limit {
        Some(limit) => p50.target(Target::AtMost(limit)),
        None => p50,
    });
    figures.push(p99);
    Ok(())
}

/// Pages through everybody; each is timed, and together they must be all.
async fn pages(
    settings: &Settings,
    registry: &Registry,
    sessions: u64,
    title: &str,
    figures: &mut Vec<Figure>,
) -> Result<(), Failure> {
    let mut latency = Latency::new()?;
    for _ in 0..settings.repeat {
        let mut found = 0;
        let mut request = ListRequest::default();
        loop {
            let since = std::time::Instant::now();
            let body = registry.client().call_raw(&request).await?;
            latency.record(since.elapsed());
            let page = agentnet::protocol::rpc::decode_reply::<ListRequest>(&body)?;
            found += page.agents.len() as u64;
            match page.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        if found != sessions {
            return Err(format!(
                "{sessions} sessions are online, {found} were listed: {}",
                json!(request.cursor)
            )
            .into());
        }
    }
    for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
        figures.push(
            Figure::new(
                "rpc list",
                format!("{title}, a page as large as fits, {what}"),
                "ms",
                latency.micros(share) / 1000.0,
            )
            .target(Target::AtMost(20.0)),
        );
    }
    Ok(())
}

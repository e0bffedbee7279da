//! Checks of the registry, its store and the sessions. No I/O: tables of cases test them.

use std::collections::HashSet;
use std::time::Duration;

use agentnet_protocol::rpc::MetricsReply;
use agentnet_protocol::{AgentInfo, Timestamp, expiry};
use agentnet_registry::health::{Health, HealthError, Oversized};
use agentnet_store::model::DiskSpace;

use super::report::{Finding, counted};

/// Answers that take longer are slow.
const SLOW_ANSWER: Duration = Duration::from_millis(500);
/// A larger clock skew makes the registry refuse signed registrations (`DEV_AUTH_MAX_SKEW_SECONDS`).
const MAX_SIGNED_SKEW: Duration = Duration::from_secs(120);
/// Numbers of messages waiting to be stored that are a warning and a failure.
const LAG_WARN: i64 = 1_000;
const LAG_FAIL: i64 = 100_000;
/// A session is stale after two and a half heartbeat intervals without a hello.
const STALE_SESSION: Duration = Duration::from_secs(30);

pub(super) fn registry(metrics: &MetricsReply, took: Duration) -> Finding {
    let online = metrics
        .online_sessions
        .map(|online| format!(", {} online", counted(online, "session")))
        .unwrap_or_default();
    let seen = format!(
        "{} answered within {} ms{online}",
        metrics.server_id,
        took.as_millis().max(1)
    );
    if took > SLOW_ANSWER {
        return Finding::warn(
            seen,
            "look at its host's load, and at `agentnet metrics` for the slow handlers",
        );
    }
    Finding::pass(seen)
}

/// Several registries have the same server id, which must be unique.
pub(super) fn duplicates(server_id: &str, registries: usize) -> Option<Finding> {
    (registries > 1).then(|| {
        Finding::fail(
            format!("{registries} registries have the server id {server_id}: what is shown of one may be of another"),
            Some(
                "give each a server id of its own with --server-id or REGISTRY_SERVER_ID (`{hostname}` stands for the host's name)"
                    .to_owned(),
            ),
        )
    })
}

/// Whether the registry and this environment agree about signing (`DEV_AUTH`).
pub(super) fn signing(health: &Health, signs: bool) -> Option<Finding> {
    match (health.requires_signed_identity?, signs) {
        (true, false) => Some(Finding::warn(
            "the registry requires signed identity (DEV_AUTH=true), this environment does not sign: agents that are started \
             here are refused with auth_required",
            "set DEV_AUTH=true where agents are started",
        )),
        (false, true) => Some(Finding::warn(
            "this environment signs (DEV_AUTH=true), the registry does not require it: agents that are started here refuse \
             messages of those that do not sign",
            "start the registry with DEV_AUTH=true, or unset DEV_AUTH here",
        )),
        _ => None,
    }
}

pub(super) fn version(theirs: Option<&str>, ours: &str) -> Finding {
    match theirs {
        Some(theirs) if theirs == ours => Finding::pass(format!("registry and command line are both {ours}")),
        Some(theirs) => Finding::warn(
            format!("the registry is version {theirs}, this command line {ours}"),
            "upgrade the older one; the wire is the same, what they report may differ",
        ),
        None => Finding::warn(
            "the registry does not tell its version: it is the one of the Python implementation, or an older version",
            "docs/OPERATIONS.md describes how to take over a network of the Python implementation",
        ),
    }
}

/// The clock skew: the registry's time must be between the local times of the request and of the answer.
pub(super) fn clock(theirs: &str, asked_at: Timestamp, took: Duration) -> Finding {
    let Some(theirs) = Timestamp::parse(theirs) else {
        return Finding::warn(
            format!("the registry's time `{theirs}` cannot be read"),
            "upgrade the registry",
        );
    };
    let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
    let ahead = theirs.micros_since(asked_at);
    let skew = match ahead {
        ahead if ahead < 0 => ahead,
        ahead => (ahead - took).max(0),
    };
    let size = Duration::from_micros(skew.unsigned_abs());
    let allowed = Duration::from_millis(u64::from(expiry::DEFAULT_CLOCK_SKEW_MS));
    let seen = match skew {
        0 => "this clock and the registry's agree".to_owned(),
        _ => format!(
            "the registry's clock is {:.1} s {}",
            size.as_secs_f64(),
            if skew > 0 { "ahead" } else { "behind" }
        ),
    };
    let advice = "set both clocks by NTP: messages expire by the receiver's clock";
    match size {
        size if size > MAX_SIGNED_SKEW => Finding::fail(seen, Some(advice.to_owned())),
        size if size > allowed => Finding::warn(seen, advice),
        _ => Finding::pass(seen),
    }
}

pub(super) fn store(asked: Result<Health, HealthError>) -> Finding {
    let others = asked.as_ref().ok().and_then(databases);
    let disk = asked.as_ref().ok().and_then(disk);
    Finding::worst(own_store(asked), [others, disk])
}

/// Whether the disk is nearly full.
fn disk(health: &Health) -> Option<Finding> {
    let space = health.disk_space.filter(DiskSpace::is_scarce)?;
    let mib = |bytes: u64| bytes >> 20;
    Some(Finding::warn(
        format!(
            "the disk of the {} database is nearly full: {} MiB of {} MiB are free",
            health.store,
            mib(space.free),
            mib(space.total)
        ),
        "make room or move the database to a larger disk; THREAD_RETENTION_DAYS limits how long the history is kept",
    ))
}

/// Other registries that use another database. Older versions do not report theirs.
fn databases(health: &Health) -> Option<Finding> {
    let mut others: Vec<String> = health.other_databases().map(|peer| peer.server_id.clone()).collect();
    others.dedup();
    (!others.is_empty()).then(|| {
        Finding::fail(
            format!(
                "{} and {} use different databases: each knows only some of the accounts and messages, and calls are answered \
                 by either",
                health.server_id,
                first_of(&others)
            ),
            Some(
                "give all registries of a network the same DATABASE_URL, or each a network of its own (another NATS server or \
                 account)"
                    .to_owned(),
            ),
        )
    })
}

fn own_store(asked: Result<Health, HealthError>) -> Finding {
    match asked {
        Ok(Health {
            store,
            store_problem: None,
            oversized,
            ..
        }) if !oversized.is_empty() => above_bounds(&store, &oversized),
        Ok(Health {
            store,
            store_problem: None,
            ..
        }) => Finding::pass(format!("the {store} store works")),
        Ok(Health {
            store,
            store_problem: Some(problem),
            ..
        }) => Finding::fail(
            format!("the {store} store does not work: {problem}"),
            Some("start or repair the database; messages wait in the stream meanwhile".to_owned()),
        ),
        Err(error) => Finding::warn(
            format!("its state is not known: {error}"),
            "run `agentnet doctor` again",
        ),
    }
}

/// Accounts that an older version without bounds has stored.
fn above_bounds(store: &str, oversized: &[Oversized]) -> Finding {
    let named = |account: &Oversized| format!("@{} ({})", account.username, account.problem);
    let some: Vec<String> = oversized.iter().take(5).map(named).collect();
    let more = match oversized.len().saturating_sub(5) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    Finding::warn(
        format!(
            "the {store} store works; accounts hold more than may be stored now: {}{more}",
            some.join(", ")
        ),
        "their next registration is refused until their agents say less; more metadata is a setting of the registry \
         (AGENTNET_MAX_METADATA_BYTES)",
    )
}

/// Messages that the registry's connection dropped.
pub(super) fn dropped(health: &Health) -> Option<Finding> {
    (health.dropped > 0).then(|| {
        let consequence = match health.capture.as_str() {
            "jetstream" => "heartbeats or calls may be among them; the history has a stream of its own",
            _ => "they may be missing in the history",
        };
        Finding::warn(
            format!(
                "the registry was too slow: {} dropped since it started; {consequence}",
                counted(health.dropped, "message")
            ),
            "give the registry's host more processor time, or add a registry (docs/SCALING.md)",
        )
    })
}

pub(super) fn lag(metrics: &MetricsReply) -> Finding {
    let Some(capture) = &metrics.capture else {
        return Finding::skip("a registry of the Python implementation does not report it");
    };
    let seen = format!(
        "{} {} to be stored, {} {} stored since it started",
        counted(capture.lag, "message"),
        if capture.lag == 1 { "waits" } else { "wait" },
        capture.stored,
        if capture.stored == 1 { "is" } else { "are" },
    );
    if capture.refused > 0 {
        return Finding::warn(
            format!("{seen}; the database refused {}", capture.refused),
            "the registry's log names each (`the store refused a message`) with the reason",
        );
    }
    if metrics.db_write_queue.overflow_count > 0 && capture.mode == "core" {
        return Finding::warn(
            format!(
                "{seen}; the queue was full {}",
                counted(metrics.db_write_queue.overflow_count, "time")
            ),
            "start nats-server with -js, so that messages wait in a stream",
        );
    }
    match capture.lag {
        lag if lag > LAG_FAIL => Finding::fail(
            seen,
            Some("add a registry, or a faster database (docs/SCALING.md)".to_owned()),
        ),
        lag if lag > LAG_WARN => Finding::warn(
            seen,
            "run it again: a lag that grows wants a faster database (docs/SCALING.md)",
        ),
        _ => Finding::pass(seen),
    }
}

pub(super) fn sessions(online: &[AgentInfo], now: Timestamp) -> Finding {
    let stale: Vec<String> = online
        .iter()
        .filter(|agent| {
            let seen = agent.last_seen.as_deref().and_then(Timestamp::parse);
            seen.is_some_and(|seen| {
                now.micros_since(seen) > i64::try_from(STALE_SESSION.as_micros()).unwrap_or(i64::MAX)
            })
        })
        .map(|agent| format!("@{}", agent.username.as_deref().unwrap_or(&agent.agent_id)))
        .collect();
    let total = online.len();
    let mut seen_once = HashSet::new();
    let mut shared: Vec<String> = online
        .iter()
        .filter(|agent| {
            agent
                .account_id
                .as_ref()
                .is_some_and(|account| !seen_once.insert(account))
        })
        .map(|agent| format!("@{}", agent.username.as_deref().unwrap_or(&agent.agent_id)))
        .collect();
    shared.sort_unstable();
    shared.dedup();
    if stale.is_empty() && !shared.is_empty() {
        return Finding::warn(
            format!("{total} online; more than one under the name of {}", first_of(&shared)),
            "they share its messages, as workers of one account do; for separate agents, start each with its own --username",
        );
    }
    if stale.is_empty() {
        return Finding::pass(format!("{total} online, all seen within {} s", STALE_SESSION.as_secs()));
    }
    Finding::warn(
        format!(
            "{} of {total} sessions are silent for more than {} s: {}",
            stale.len(),
            STALE_SESSION.as_secs(),
            first_of(&stale)
        ),
        "their processes hang or have lost the network; they go offline by themselves",
    )
}

/// The first five names, and how many more there are.
fn first_of(names: &[String]) -> String {
    let some = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(5) {
        0 => some,
        rest => format!("{some} and {rest} more"),
    }
}

#[cfg(test)]
mod tests;

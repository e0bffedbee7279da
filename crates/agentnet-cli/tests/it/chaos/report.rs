//! What a run was like, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use agentnet::protocol::rpc::MetricsReply;

use crate::chaos::history::History;
use crate::chaos::ledger::{Ledger, Try};
use crate::chaos::network::Handled;
use crate::chaos::schedule::Part;
use crate::chaos::senders::errors;

pub(crate) fn text(
    ledger: &Ledger,
    history: &History,
    handled: &Handled,
    registries: &BTreeMap<String, MetricsReply>,
    (retries, timeouts): (u64, u64),
    catch_up: Duration,
) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").unwrap();
    let tries = &ledger.tries;
    let succeeded = tries.iter().filter(|one| one.succeeded()).count();
    line(format!(
        "sends tried {}, succeeded {succeeded}, failed {}",
        tries.len(),
        tries.len() - succeeded
    ));
    for (error, times) in errors(tries) {
        line(format!("  {times} x {error}"));
    }
    line(format!(
        "sends repeated {retries}, receipts that did not come in time {timeouts}"
    ));
    let times = history.times();
    let apart: Vec<&str> = tries
        .iter()
        .filter(|one| ledger.apart(one))
        .filter_map(Try::message_id)
        .collect();
    line(format!(
        "counted apart: {} succeeded in the last second before nats-server was killed; {} of them are not in the history",
        apart.len(),
        apart.iter().filter(|id| !times.contains_key(*id)).count()
    ));
    let broker = ledger.outage(Part::Nats).down;
    let across = tries.iter().filter(|one| one.started < broker && one.ended > broker);
    line(format!("on their way when nats-server was killed: {}", across.count()));
    let failed = tries.iter().filter(|one| !one.succeeded()).filter_map(Try::message_id);
    line(format!(
        "messages in the history {} in {} threads, {} of them of sends that failed",
        times.len(),
        history.threads.len(),
        failed.filter(|id| times.contains_key(id)).count()
    ));
    line(format!(
        "handled by both lives of the receiver {}, accepted and lost with the first {}",
        handled.by_both(),
        handled.lost_with_the_receiver(ledger)
    ));
    for (server_id, metrics) in registries {
        let capture = metrics.capture.clone().unwrap_or_default();
        line(format!(
            "{server_id} since its start: stored {}, duplicates {}, refused {}",
            capture.stored, capture.duplicates, capture.refused
        ));
    }
    line(format!(
        "the history was complete {:.1} s after the last send",
        catch_up.as_secs_f64()
    ));
    for (index, outage) in ledger.outages.iter().enumerate() {
        let until = ledger.outages.get(index + 1).map(|next| next.down);
        line(outage_text(ledger, index, until));
        let during: Vec<&Try> = tries.iter().filter(|one| outage.met(one)).collect();
        for (error, times) in errors(during) {
            line(format!("    {times} x {error}"));
        }
        for (error, times) in unanswered(ledger, outage.down, until) {
            line(format!("    registry.list: {times} x {error}"));
        }
    }
    out
}

fn outage_text(ledger: &Ledger, index: usize, until: Option<Instant>) -> String {
    let outage = &ledger.outages[index];
    let inside = |at: Instant| at >= outage.down && until.is_none_or(|until| at < until);
    let mut gap = (Duration::ZERO, outage.down);
    let mut last = outage.down;
    for one in ledger.tries.iter().filter(|one| one.succeeded() && inside(one.ended)) {
        gap = gap.max((one.ended - last, last));
        last = one.ended;
    }
    let slowest = ledger
        .tries
        .iter()
        .filter(|one| one.succeeded() && outage.met(one))
        .map(|one| one.ended - one.started)
        .max();
    format!(
        "{} at {:.2} s, started again at {:.2} s, ready at {:.2} s: longest time without a success {:.3} s (from {:.2} s), \
         slowest success {:.3} s",
        outage.part,
        ledger.seconds(outage.down),
        ledger.seconds(outage.back),
        ledger.seconds(outage.ready),
        gap.0.as_secs_f64(),
        ledger.seconds(gap.1),
        slowest.unwrap_or_default().as_secs_f64(),
    )
}

/// What clients of the registry met.
fn unanswered(ledger: &Ledger, from: Instant, until: Option<Instant>) -> BTreeMap<String, usize> {
    let mut met = BTreeMap::new();
    let looks = ledger.looks.iter();
    for look in looks.filter(|look| look.at >= from && until.is_none_or(|until| look.at < until)) {
        let what = match &look.missing {
            Ok(0) => continue,
            Ok(missing) => format!("{missing} live sessions missing"),
            Err(error) => error.clone(),
        };
        *met.entry(what).or_default() += 1;
    }
    met
}

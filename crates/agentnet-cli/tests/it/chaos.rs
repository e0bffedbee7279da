//! Everything is killed in turn while four agents talk, and nothing that was accepted is lost.
//!
//! Four senders in this process send 500 messages a second in all to a receiver that is a process of its own. Meanwhile a
//! registry is killed, PostgreSQL is stopped, nats-server is killed and the receiver is killed, each started again after
//! a while (`schedule`). At the end, when the stream has been emptied into the history:
//!
//! - every message whose send succeeded is in the history exactly once; sends that succeeded in the last second before
//!   nats-server was killed are counted apart
//! - the counters of every thread are those of its rows, by RPC and in the database
//! - who is online according to the registries and the database is who runs
//!
//! `AGENTNET_CHAOS_SECONDS` is the time for which agents send: 20 by default, 60 in `make chaos`.
#![allow(clippy::print_stdout, reason = "the report is what `make chaos` is run for")]

mod history;
mod ledger;
mod network;
mod report;
mod schedule;
mod senders;
mod sessions;

use std::time::Instant;

use agentnet::RegistryClient;
use ledger::Ledger;
use network::Network;
use schedule::Schedule;
use senders::Senders;
use sessions::Prober;

use crate::harness::WAIT_TIMEOUT;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_that_was_accepted_is_lost() {
    let schedule = Schedule::from_environment();
    let mut network = Network::start().await;
    let senders = Senders::join(&network.url()).await;
    let prober = Prober::start(&network.url(), senders.session_tags()).await;

    let start = Instant::now();
    let talk = senders.talk(start, schedule.length);
    let (tries, outages) = tokio::join!(talk, network.suffer(&schedule, start));
    let looks = prober.stop().await;
    let ledger = Ledger {
        start,
        tries,
        outages,
        looks,
    };
    let talked = Instant::now();

    let mut problems = Vec::new();
    network
        .caught_up()
        .await
        .unwrap_or_else(|problem| problems.push(problem));
    let catch_up = talked.elapsed();
    let client = RegistryClient::connect(&network.url())
        .await
        .unwrap()
        .with_timeout(WAIT_TIMEOUT);
    let history = history::read(&client).await;
    let parties = senders.parties(&network.receiver_account());
    problems.extend(history.check(&ledger, &parties));
    problems.extend(history::check_database(&network.database, &history).await);
    problems.extend(sessions::only(&client, &network.database, &senders.agents()).await);
    let counted = network.registry_metrics(&client).await;
    let retries = senders.retries();
    senders.leave().await;
    let handled = network.stop_receiver().await;
    problems.extend(handled.check(&ledger));
    problems.extend(sessions::only(&client, &network.database, &[]).await);

    let text = report::text(&ledger, &history, &handled, &counted, retries, catch_up);
    println!("{text}");
    assert!(
        problems.is_empty(),
        "{} problems:\n{}\n\n{}",
        problems.len(),
        problems.join("\n"),
        network.logs()
    );
    network.stop().await;
}

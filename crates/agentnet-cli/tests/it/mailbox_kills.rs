//! Each part is killed between each two steps of a message's way through a mailbox, and nothing that was confirmed is lost.
//!
//! A sender in this process leaves numbered messages for a receiver that is a process of its own, and asks that they be
//! processed. A tap on the wire shows how far they are; at a step (`steps`) one part is killed and started again. In the
//! end every message whose send was confirmed, as delivered or as queued, has been handled, the confirmed ones in their
//! order, and no message waits, is leased or is dead.
//!
//! The suite runs a part of the matrix; with `AGENTNET_MAILBOX_KILLS=all`, as in `make chaos`, it is the whole, and
//! `AGENTNET_MAILBOX_KILL_ROUNDS` says how often (1).

mod network;
mod steps;

use futures::StreamExt as _;

use network::Network;
use steps::{Case, Step, Victim};

/// Networks at the same time.
const CONCURRENCY: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_a_confirmed_message_is_handled() {
    let cases = cases();
    let mut runs = futures::stream::iter(cases).map(run).buffer_unordered(CONCURRENCY);
    let mut problems = Vec::new();
    while let Some(outcome) = runs.next().await {
        problems.extend(outcome);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn cases() -> Vec<Case> {
    match std::env::var("AGENTNET_MAILBOX_KILLS").as_deref() {
        Ok("all") => {
            let rounds = std::env::var("AGENTNET_MAILBOX_KILL_ROUNDS").map_or(1, |text| text.parse().unwrap());
            let matrix = Victim::ALL
                .into_iter()
                .flat_map(|victim| Step::ALL.into_iter().map(move |step| Case { victim, step }))
                // A message is queued while its receiver is not there to be killed.
                .filter(|case| (case.victim, case.step) != (Victim::Receiver, Step::Queued));
            std::iter::repeat_n(matrix.collect::<Vec<_>>(), rounds)
                .flatten()
                .collect()
        }
        Ok(other) => panic!("AGENTNET_MAILBOX_KILLS={other}: expected all"),
        Err(_) => vec![
            Case {
                victim: Victim::Receiver,
                step: Step::Published,
            },
            Case {
                victim: Victim::Registry,
                step: Step::Queued,
            },
            Case {
                victim: Victim::Nats,
                step: Step::Leased,
            },
            Case {
                victim: Victim::Receiver,
                step: Step::Accepted,
            },
            Case {
                victim: Victim::Database,
                step: Step::Acknowledged,
            },
        ],
    }
}

/// Runs one case; what went wrong in it.
async fn run(case: Case) -> Option<String> {
    let mut network = Network::start(case).await;
    let outcome = network.pass().await;
    let problem = outcome
        .err()
        .map(|problem| format!("{case:?}: {problem}\n{}", network.logs()));
    network.stop().await;
    problem
}

//! Each part is killed between each two steps of a task's life, and every task ends once, with its result.
//!
//! Coordinators and the worker are processes of the real binary: `task assign --key … --wait`, which is started again until it
//! tells the result, and `task work`. A tap on the wire shows how far a task is; at a step (`steps`) one part is killed and
//! started again. In the end there is one task for each key; each is completed, with the result of its command, and with exactly
//! one event `finished` in a history without gaps.
//!
//! The suite runs a part of the matrix; with `AGENTNET_TASK_KILLS=all`, as in `make chaos`, it is the whole, and
//! `AGENTNET_TASK_KILL_ROUNDS` says how often (1).

mod network;
mod steps;

use futures::StreamExt as _;

use network::Network;
use steps::{Case, Step, Victim};

/// Networks at the same time.
const CONCURRENCY: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_a_task_ends_once() {
    let cases = cases();
    let mut runs = futures::stream::iter(cases).map(run).buffer_unordered(CONCURRENCY);
    let mut problems = Vec::new();
    while let Some(outcome) = runs.next().await {
        problems.extend(outcome);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn cases() -> Vec<Case> {
    match std::env::var("AGENTNET_TASK_KILLS").as_deref() {
        Ok("all") => {
            let rounds = std::env::var("AGENTNET_TASK_KILL_ROUNDS").map_or(1, |text| text.parse().unwrap());
            let matrix = Victim::ALL
                .into_iter()
                .flat_map(|victim| Step::ALL.into_iter().map(move |step| Case { victim, step }));
            std::iter::repeat_n(matrix.collect::<Vec<_>>(), rounds)
                .flatten()
                .collect()
        }
        Ok(other) => panic!("AGENTNET_TASK_KILLS={other}: expected all"),
        Err(_) => [
            (Victim::Coordinator, Step::Creating),
            (Victim::Registry, Step::Creating),
            (Victim::Nats, Step::Claimed),
            (Victim::Worker, Step::Progress),
            (Victim::Worker, Step::Finishing),
            (Victim::Registry, Step::Finishing),
            (Victim::Database, Step::Finishing),
        ]
        .into_iter()
        .map(|(victim, step)| Case { victim, step })
        .collect(),
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

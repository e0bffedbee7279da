//! A closed-loop load: each task starts an operation when its previous one ends.

use std::time::Instant;

use crate::Failure;
use crate::run::{Meter, Run, RunOutcome};

/// Runs `in_flight` tasks that call `operation` repeatedly for the duration of the run.
pub(crate) async fn run<F, Fut>(run: Run, operation: F) -> Result<RunOutcome, Failure>
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..run.in_flight {
        let operation = operation.clone();
        tasks.spawn(async move {
            let mut meter = Meter::start(run)?;
            loop {
                let sent = Instant::now();
                operation().await?;
                if !meter.note(sent) {
                    return Ok::<_, Failure>(meter.finish());
                }
            }
        });
    }
    let mut total: Option<RunOutcome> = None;
    while let Some(outcome) = tasks.join_next().await {
        let outcome = outcome??;
        match &mut total {
            None => total = Some(outcome),
            Some(total) => {
                total.completed += outcome.completed;
                total.latency.add(&outcome.latency)?;
            }
        }
    }
    total.ok_or_else(|| "a run with nothing in flight".into())
}

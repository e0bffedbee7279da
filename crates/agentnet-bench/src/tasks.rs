//! A load made by tasks that each do one thing after the other.

use std::time::Instant;

use crate::Failure;
use crate::run::{Meter, Outcome, Run};

/// Runs `in_flight` tasks that call `one` again and again for the time of the run.
pub(crate) async fn run<F, Fut>(run: Run, one: F) -> Result<Outcome, Failure>
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..run.in_flight {
        let one = one.clone();
        tasks.spawn(async move {
            let mut meter = Meter::start(run)?;
            loop {
                let sent = Instant::now();
                one().await?;
                if !meter.note(sent) {
                    return Ok::<_, Failure>(meter.finish());
                }
            }
        });
    }
    let mut total: Option<Outcome> = None;
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
    total.ok_or_else(|| "nothing was to be under way".into())
}

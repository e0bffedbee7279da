//! Waiting for a condition with a timeout, instead of sleeping.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// The first interval between two checks of a condition; it doubles up to [`MAX_POLL_INTERVAL`].
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(5);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A condition did not come true before its deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not within {deadline:?}: {last}")]
pub struct WaitError {
    /// How long the test waited.
    pub deadline: Duration,
    /// The error of the last check.
    pub last: String,
}

/// Calls `check` until it returns `Ok`, for at most `deadline`, and returns its value.
///
/// `check` is called at least once. A check that is still running at the deadline is dropped.
///
/// # Errors
/// [`WaitError`] with the text of the last `Err` that `check` returned.
pub async fn eventually<T, E: Display>(
    deadline: Duration,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, WaitError> {
    let end = Instant::now() + deadline;
    let mut interval = MIN_POLL_INTERVAL;
    let mut last = "the first check of the condition did not return".to_owned();
    loop {
        match timeout_at(end, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason.to_string(),
            Err(_) => return Err(WaitError { deadline, last }),
        }
        if Instant::now() + interval >= end {
            sleep(end.saturating_duration_since(Instant::now())).await;
            // The last check, at the deadline itself, must return at once.
            return match timeout_at(end + MIN_POLL_INTERVAL, check()).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(reason)) => Err(WaitError {
                    deadline,
                    last: reason.to_string(),
                }),
                Err(_) => Err(WaitError { deadline, last }),
            };
        }
        sleep(interval).await;
        interval = (interval * 2).min(MAX_POLL_INTERVAL);
    }
}

/// [`eventually`] for a plain yes or no; `what` names the condition in the error.
///
/// # Errors
/// [`WaitError`] with `what` when `check` has not returned `true` before the deadline.
pub async fn eventually_true(
    deadline: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> bool,
) -> Result<(), WaitError> {
    eventually(deadline, async || if check().await { Ok(()) } else { Err(what) }).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_until_ok_and_returns_the_value() {
        let checks = Cell::new(0);
        let value = eventually(Duration::from_secs(1), async || {
            checks.set(checks.get() + 1);
            if checks.get() == 4 { Ok("there") } else { Err("not yet") }
        })
        .await;
        assert_eq!(value, Ok("there"));
        assert_eq!(checks.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_deadline_with_the_last_reason() {
        let checks = Cell::new(0);
        let started = Instant::now();
        let outcome = eventually(Duration::from_secs(2), async || {
            checks.set(checks.get() + 1);
            Err::<(), _>(format!("check {}", checks.get()))
        })
        .await;
        let error = outcome.unwrap_err();
        assert_eq!(error.last, format!("check {}", checks.get()));
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_ends_at_the_deadline() {
        let outcome = eventually(Duration::from_secs(1), async || pending::<Result<(), String>>().await).await;
        assert!(outcome.unwrap_err().last.contains("did not return"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_zero_deadline_still_checks_once() {
        assert_eq!(eventually(Duration::ZERO, async || Ok::<_, String>(7)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_yes_or_no_condition_is_named_in_the_error() {
        let error = eventually_true(Duration::from_millis(50), "the moon is blue", async || false)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "not within 50ms: the moon is blue");
    }
}

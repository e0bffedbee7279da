//! Waiting for a condition with a deadline: what tests use in place of sleeping.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// First pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A condition did not come true before its deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not within {deadline:?}: {last}")]
pub struct WaitError {
    /// How long was waited.
    pub deadline: Duration,
    /// What the last look at the condition said.
    pub last: String,
}

/// Calls `look` again and again until it returns `Ok`, for at most `deadline`, and returns its value.
///
/// `look` is called at least once. A look that is still running at the deadline is dropped.
///
/// # Errors
/// [`WaitError`] with the text of the last `Err` that `look` returned.
pub async fn eventually<T, E: Display>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, WaitError> {
    let end = Instant::now() + deadline;
    let mut pause = SHORTEST_PAUSE;
    let mut last = "the first look at the condition did not return".to_owned();
    loop {
        match timeout_at(end, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason.to_string(),
            Err(_) => return Err(WaitError { deadline, last }),
        }
        if Instant::now() + pause >= end {
            sleep(end.saturating_duration_since(Instant::now())).await;
            // One last look at the deadline itself, which must answer at once.
            return match timeout_at(end + SHORTEST_PAUSE, look()).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(reason)) => Err(WaitError {
                    deadline,
                    last: reason.to_string(),
                }),
                Err(_) => Err(WaitError { deadline, last }),
            };
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// [`eventually`] for a plain yes or no; `what` names the condition in the error.
///
/// # Errors
/// [`WaitError`] with `what` when `look` has not returned `true` before the deadline.
pub async fn eventually_true(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> bool,
) -> Result<(), WaitError> {
    eventually(deadline, async || if look().await { Ok(()) } else { Err(what) }).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn looks_until_ok_and_returns_the_value() {
        let looks = Cell::new(0);
        let value = eventually(Duration::from_secs(1), async || {
            looks.set(looks.get() + 1);
            if looks.get() == 4 { Ok("there") } else { Err("not yet") }
        })
        .await;
        assert_eq!(value, Ok("there"));
        assert_eq!(looks.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_deadline_with_the_last_reason() {
        let looks = Cell::new(0);
        let started = Instant::now();
        let outcome = eventually(Duration::from_secs(2), async || {
            looks.set(looks.get() + 1);
            Err::<(), _>(format!("look {}", looks.get()))
        })
        .await;
        let error = outcome.unwrap_err();
        assert_eq!(error.last, format!("look {}", looks.get()));
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_does_not_outlive_the_deadline() {
        let outcome = eventually(Duration::from_secs(1), async || pending::<Result<(), String>>().await).await;
        assert!(outcome.unwrap_err().last.contains("did not return"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_zero_deadline_still_looks_once() {
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

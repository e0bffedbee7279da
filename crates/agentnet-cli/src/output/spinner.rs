//! A spinner on stderr for operations that take longer than a second.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::Output;

/// Operations that are done within this time show no spinner.
const DELAY: Duration = Duration::from_secs(1);
const TICK_INTERVAL: Duration = Duration::from_millis(120);

/// A spinner with a message and the elapsed seconds. Nothing is shown where stderr is not a terminal, or with `--json`.
/// Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Spinner {
    bar: ProgressBar,
    delayed_start: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Shows the message after the delay.
    pub(crate) fn start(output: Output, message: String) -> Self {
        if !stderr().is_terminal() || output.is_json() {
            return Self {
                bar: ProgressBar::hidden(),
                delayed_start: None,
            };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let delayed = bar.clone();
        let delayed_start = tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            delayed.set_draw_target(ProgressDrawTarget::stderr());
            delayed.set_message(message);
            delayed.enable_steady_tick(TICK_INTERVAL);
        });
        Self {
            bar,
            delayed_start: Some(delayed_start),
        }
    }

    /// Removes the spinner from the terminal.
    pub(crate) fn end(&self) {
        if let Some(delayed_start) = &self.delayed_start {
            delayed_start.abort();
        }
        self.bar.finish_and_clear();
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.end();
    }
}

//! A sign of life while something takes longer than a second.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::Output;

/// What is done within this time needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// A spinner on stderr with the seconds that have passed; nothing where stderr is no terminal. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    bar: ProgressBar,
    begins: Option<JoinHandle<()>>,
}

impl Waiting {
    /// For what begins now.
    pub(crate) fn start(output: Output, what: String) -> Self {
        if !stderr().is_terminal() || output.is_json() {
            return Self {
                bar: ProgressBar::hidden(),
                begins: None,
            };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        let later = bar.clone();
        let begins = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            later.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            later.set_message(what);
            later.enable_steady_tick(TICK);
        });
        Self {
            bar,
            begins: Some(begins),
        }
    }

    /// There is something to see. Nothing is left of the sign.
    pub(crate) fn end(&self) {
        if let Some(begins) = &self.begins {
            begins.abort();
        }
        self.bar.finish_and_clear();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

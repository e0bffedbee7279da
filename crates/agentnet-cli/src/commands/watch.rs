//! `agentnet watch`: messages as they pass, on any subject.

mod feed;
mod filter;
mod pairing;
mod view;

use agentnet::RegistryClient;
use agentnet_protocol::subject::ALL_INBOXES;
use clap::Args;

use crate::cli::Global;
use crate::connection::{checked_url, connect_failure, nats_url};
use crate::ended::{Ended, Failure};
use crate::names::Names;
use crate::output::Output;
use crate::output::cell::clean;
use crate::signals::StopSignals;
use feed::Feed;
use filter::Filter;
use view::View;

/// All delivery receipts.
const ALL_RECEIPTS: &str = "account.*.receipts";
/// So much text is written at once where more messages wait, in bytes.
const PAGE: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// NATS subject to watch; `*` stands for one part, `>` for all that follow. Receipts: 'account.*.receipts'
    #[arg(long, value_name = "SUBJECT", default_value = ALL_INBOXES)]
    subject: String,
    #[command(flatten)]
    filter: Filter,
    /// Show the receipts of the messages that are shown too, each with the time that it took
    #[arg(long)]
    receipts: bool,
    /// Stop after so many messages; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value = "0")]
    max_messages: u64,
    /// Show whole payloads instead of previews (--json lines always hold the whole message)
    #[arg(long)]
    include_payload: bool,
}

impl Watch {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        check_subject(&self.subject)?;
        let mut signals = StopSignals::listen()?;
        signals.unless(self.watch(&nats_url(global), output)).await
    }

    async fn watch(&self, url: &str, output: Output) -> Result<(), Ended> {
        let checked = checked_url(url)?;
        // Names are asked for on another connection, so that what comes on this one is what is watched.
        let registry = RegistryClient::connect(url).await.map_err(connect_failure)?;
        let with_receipts = self.receipts && self.subject != ALL_RECEIPTS;
        let subjects = [Some(&*self.subject), with_receipts.then_some(ALL_RECEIPTS)];
        let mut feed = Feed::open(&checked, subjects.into_iter().flatten()).await?;
        output.note(format!("watching {}, Ctrl-C stops", self.subject));
        let mut view = View::new(self, Names::open(registry).await, output);
        let mut left = Some(self.max_messages).filter(|most| *most > 0);
        loop {
            let mut message = feed.next(output).await;
            if message.is_none() {
                let what = format!("cannot watch {}: the connection was closed", self.subject);
                return Err(Failure::trouble(what).into());
            }
            let mut page = String::new();
            // What waits already is written with it.
            while let Some(taken) = message {
                let counts = view.show(&taken, &mut page).await;
                left = left.map(|left| left - u64::from(counts));
                message = match left {
                    Some(0) => None,
                    _ if page.len() >= PAGE => None,
                    _ => feed.ready(output),
                };
            }
            write(page, output).await?;
            if left == Some(0) {
                return Ok(());
            }
        }
    }
}

/// Writes lines, on a thread of its own: a reader who does not read holds up no signal.
async fn write(page: String, output: Output) -> Result<(), Ended> {
    if page.is_empty() {
        return Ok(());
    }
    let writing = tokio::task::spawn_blocking(move || output.text(&page));
    Ok(writing.await.map_err(std::io::Error::other)??)
}

/// Subjects are parts without white space, separated by dots.
fn check_subject(subject: &str) -> Result<(), Failure> {
    let parts: Vec<&str> = subject.split('.').collect();
    let whole = |part: &&str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    let rest_is_last = parts.iter().rev().skip(1).all(|part| *part != ">");
    if parts.iter().all(whole) && rest_is_last {
        return Ok(());
    }
    Err(Failure::refused(format!("`{}` is not a NATS subject", clean(subject)))
        .hint("subjects are words separated by dots, like account.*.inbox; `>` may only be the last"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_subjects_are_watched() {
        for subject in ["account.*.inbox", ">", "a.>", "_INBOX.>", "registry.list"] {
            assert!(check_subject(subject).is_ok(), "{subject}");
        }
        for subject in ["", "a..b", ".a", "a.", "a b", ">.a", "a\r\nPUB x"] {
            assert!(check_subject(subject).is_err(), "{subject:?}");
        }
    }
}

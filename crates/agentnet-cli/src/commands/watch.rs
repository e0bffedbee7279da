//! `agentnet watch`: messages in real time, on any subject.

mod feed;
mod filter;
mod mailbox_events;
mod printer;
mod receipt_latency;
mod subjects;
mod task_events;
mod typo_hints;

use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_nats::NatsUrl;
use agentnet_protocol::subject::{
    ALL_INBOXES, ALL_ISSUED_INBOXES, ALL_ISSUED_MAILBOXES, ALL_MAILBOX_EVENTS, ALL_TASK_EVENTS, routable_capability,
};
use clap::Args;
use tokio::task::JoinSet;

use crate::account_names::AccountNames;
use crate::connection::taps::{tap, taps};
use crate::connection::{check_observes, checked_url, nats_url};
use crate::did_you_mean;
use crate::exit::{Exit, Failure};
use crate::failures::connect_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;
use feed::WatchFeed;
use filter::Filter;
pub(crate) use mailbox_events::account as mailbox_account;
use printer::Printer;
pub(crate) use task_events::account as task_account;

/// All delivery receipts.
const ALL_RECEIPTS: &str = "account.*.receipts";
/// Size of one write while more messages wait, in bytes.
const MAX_WRITE_SIZE: usize = 64 * 1024;
/// Delay between two attempts to reconnect.
const REOPEN_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// NATS subject to watch [default: wherever agents' messages pass: inboxes, capabilities, replies and streams]; `*`
    /// stands for one part, `>` for all that follow. Receipts: 'account.*.receipts'
    #[arg(long, value_name = "SUBJECT", value_parser = crate::args::not_blank)]
    subject: Option<String>,
    /// Watch inboxes alone: no replies, no requests to capabilities
    #[arg(long, conflicts_with_all = ["subject", "all"])]
    inbox: bool,
    /// Watch what happens to messages in mailboxes: queued, delivered, retry, dead, expired, dropped; with --inbox the
    /// messages in inboxes too. Of the filters --from and --to apply
    #[arg(long, conflicts_with_all = ["subject", "all", "thread", "kind", "grep"])]
    mailbox: bool,
    /// Watch what happens to tasks: created, claimed, progress, finished, ...; with --inbox the messages in inboxes, with
    /// --mailbox the events of mailboxes too. Of the filters, --from (who caused it) and --to (a party of the task) apply
    #[arg(long, conflicts_with_all = ["subject", "all", "thread", "kind", "grep"])]
    tasks: bool,
    /// Watch everything that agents say, whatever the filters
    #[arg(long, conflicts_with = "subject", hide = true)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Show the receipts of the messages that are shown too, each with the time from its message's sent_at to its event_at,
    /// by the clocks of the two agents; `~` marks the time between their arrivals here, where those do not say
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
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        if let Some(subject) = &self.subject {
            check_subject(subject)?;
        } else {
            check_observes(global)?;
        }
        if let Some(name) = self.filter.capability().filter(|name| !routable_capability(name)) {
            let failure = Failure::refused(format!("nothing can be sent to a capability `{}`", clean(name)));
            return Err(failure
                .hint("give one by its name, like --to capability:weather")
                .into());
        }
        let mut signals = StopSignals::listen()?;
        signals.unless(self.watch(&nats_url(global), output)).await
    }

    /// The subjects of the messages, without those of the receipts that are shown beside them.
    fn subjects(&self) -> Vec<String> {
        match &self.subject {
            Some(subject) => vec![subject.clone()],
            None if self.inbox || self.mailbox || self.tasks => [
                (self.inbox, ALL_INBOXES),
                (self.mailbox, ALL_MAILBOX_EVENTS),
                (self.tasks, ALL_TASK_EVENTS),
            ]
            .into_iter()
            .filter(|(is_watched, _)| *is_watched)
            .map(|(_, subject)| subject.to_owned())
            .collect(),
            None if self.all => subjects::ALL_MESSAGES.map(str::to_owned).to_vec(),
            None => subjects::default_subjects(&self.filter),
        }
    }

    /// Whether receipts are shown beside their messages; else they are what is watched, or not there.
    fn pairs_receipts(&self) -> bool {
        self.receipts && self.subject.as_deref() != Some(ALL_RECEIPTS)
    }

    async fn watch(&self, url: &str, output: Output) -> Result<(), Exit> {
        let checked = checked_url(url)?;
        let spinner = Spinner::start(output, format!("connecting to {}", checked.redacted()));
        // Registry calls use another connection, so that this one receives watched messages only.
        let registry = RegistryClient::connect(url).await.map_err(connect_failure)?;
        let issuer = checked.issuer();
        let mut subjects = match &self.subject {
            Some(subject) => vec![tap(subject, issuer)],
            None => taps(self.subjects(), issuer),
        };
        if issuer.is_some() && subjects.iter().any(|subject| subject == ALL_ISSUED_INBOXES) {
            // In token mode, a mailbox delivers to the inbox.
            subjects.push(ALL_ISSUED_MAILBOXES.to_owned());
        }
        let watched = subjects.join(", ");
        if self.pairs_receipts() {
            subjects.push(tap(ALL_RECEIPTS, issuer));
        }
        let mut feed = WatchFeed::open(&checked, &subjects).await?;
        spinner.end();
        output.note(format!("watching {watched}, Ctrl-C stops"));
        let mismatch = self
            .subject
            .as_deref()
            .and_then(|subject| subjects::mismatch_note(subject, &self.filter, issuer));
        for note in mismatch
            .into_iter()
            .chain(self.filter.kind().and_then(did_you_mean::kind_note))
        {
            output.note(note);
        }
        // Cancelled when this function returns.
        let mut asking = JoinSet::new();
        asking.spawn(typo_hints::print(registry.clone(), self.filter.clone(), output));
        let mut printer = Printer::new(self, AccountNames::open(registry).await, issuer.is_some(), output);
        let mut left = Some(self.max_messages).filter(|most| *most > 0);
        loop {
            let mut taken = feed.next(output).await;
            if taken.is_none() {
                output.note(
                    "warning: the connection ended over a message that the NATS client cannot read; connecting again",
                );
                feed = reopen(&checked, &subjects).await;
                output.note(format!("watching {watched} again"));
                continue;
            }
            let mut page = String::new();
            // Writes all messages that wait at once.
            while let Some(one) = taken {
                let counts = printer.show(&one, &mut page).await;
                left = left.map(|left| left - u64::from(counts));
                taken = match left {
                    Some(0) => None,
                    _ if page.len() >= MAX_WRITE_SIZE => None,
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

/// Opens the feed again, with retries.
async fn reopen(url: &NatsUrl, subjects: &[String]) -> WatchFeed {
    loop {
        match WatchFeed::open(url, subjects).await {
            Ok(feed) => return feed,
            Err(failure) => tracing::debug!("{}", failure.text()),
        }
        tokio::time::sleep(REOPEN_DELAY).await;
    }
}

/// Writes lines on a blocking thread: a reader that does not read must not block the handling of signals.
async fn write(page: String, output: Output) -> Result<(), Exit> {
    if page.is_empty() {
        return Ok(());
    }
    let writing = tokio::task::spawn_blocking(move || output.text(&page));
    Ok(writing.await.map_err(std::io::Error::other)??)
}

/// Checks a subject: parts without white space, separated by dots.
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

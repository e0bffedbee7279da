//! Polls the registry for how many messages wait in mailboxes: of all accounts together, of those with events, and of those on
//! the screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::rpc::MailboxStatusRequest;
use tokio::sync::mpsc;

use super::mailboxes::MailCounts;
use super::poll_slot::PollSlot;
use super::state::{Answer, RegistryStatus, State};
use super::ui::Ui;

/// Poll interval of mailboxes.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Poll interval of mailboxes where the registry does not answer: it is of an older version.
const INTERVAL_WITHOUT_ANSWER: Duration = Duration::from_secs(60);
/// Number of mailboxes that one task asks about.
const MAILBOXES_PER_REQUEST: usize = 20;

/// The running request about mailboxes.
pub(super) struct MailboxPoller {
    registry: RegistryClient,
    answers: mpsc::Sender<Answer>,
    slot: PollSlot<u64>,
    /// Whether the last request was answered.
    is_answered: Arc<AtomicBool>,
}

impl MailboxPoller {
    /// Sends answers to the channel `answers`.
    pub(super) fn new(registry: RegistryClient, answers: mpsc::Sender<Answer>) -> Self {
        Self {
            registry,
            answers,
            slot: PollSlot::default(),
            is_answered: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Sends the request if it is due. `connects` is the number of connections so far.
    pub(super) fn ask(&mut self, state: &mut State, ui: &Ui, connects: u64, now: Duration) {
        let every = match self.is_answered.load(Ordering::Relaxed) {
            true => POLL_INTERVAL,
            false => INTERVAL_WITHOUT_ANSWER,
        };
        // A registry that answers nothing has no mailboxes to tell of.
        if !matches!(state.registry, RegistryStatus::Answers(_)) || !self.slot.is_due(&connects, every, now) {
            return;
        }
        let shown = ui.shown_agents(state, now);
        let shown = shown.iter().map(String::as_str);
        let checks = state.mailboxes.next_checks(shown, MAILBOXES_PER_REQUEST, now);
        for account_id in &checks {
            state.mailboxes.asked(account_id);
        }
        let work = mailboxes(
            self.registry.clone(),
            self.answers.clone(),
            checks,
            Arc::clone(&self.is_answered),
        );
        self.slot.ask(connects, now, work);
    }
}

impl Drop for MailboxPoller {
    fn drop(&mut self) {
        self.slot.stop();
    }
}

/// The counts of all mailboxes together, and of these accounts.
async fn mailboxes(
    registry: RegistryClient,
    answers: mpsc::Sender<Answer>,
    account_ids: Vec<String>,
    is_answered: Arc<AtomicBool>,
) {
    for account_id in std::iter::once(None).chain(account_ids.into_iter().map(Some)) {
        let request = MailboxStatusRequest {
            account_id: account_id.clone(),
            username: None,
        };
        let counts = match registry.call(&request).await {
            Ok(status) => MailCounts::from(&status),
            // An account that does not exist, or a registry that keeps no messages.
            Err(RegistryError::Refused(_)) => MailCounts::default(),
            Err(_) => return is_answered.store(false, Ordering::Relaxed),
        };
        is_answered.store(true, Ordering::Relaxed);
        if answers.send(Answer::Mailbox(account_id, counts)).await.is_err() {
            return;
        }
    }
}

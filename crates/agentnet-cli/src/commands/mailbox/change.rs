//! `agentnet mailbox requeue` and `agentnet mailbox drop`: what an account's owner does to messages of its mailbox.
//!
//! On a network with signed identity the account's key signs the request (PROTOCOL.md section 13.8); the command does not join
//! the network as the account.

use agentnet::RegistryClient;
use agentnet_protocol::mailbox::{MailboxAction, MailboxState};
use agentnet_protocol::rpc::{
    MAX_ACTION_MESSAGES, MailboxActionReply, MailboxActionRequest, MailboxStatusRequest, Reply as _, RequestAuth,
};
use agentnet_protocol::signature::SigningKey;
use clap::Args;

use super::{Owner, StateArg};
use crate::args::CallTimeout;
use crate::commands::identity_args::{SigningArgs, account_key};
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::output::table::MESSAGES;
use crate::output::{Output, Tint};
use crate::shell_completion;
use crate::signals::StopSignals;

/// Deliver dead messages again.
#[derive(Debug, Args)]
pub(super) struct RequeueMessages {
    /// Which messages, as `mailbox list` names them
    #[arg(
        value_name = "ID",
        value_parser = crate::args::not_blank,
        required_unless_present = "all",
        add = shell_completion::mailbox_messages(Some(MailboxState::Dead))
    )]
    message_ids: Vec<String>,
    /// All dead messages of the mailbox
    #[arg(long, conflicts_with = "message_ids")]
    all: bool,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// Delete messages.
#[derive(Debug, Args)]
pub(super) struct DropMessages {
    /// Which messages, as `mailbox list` names them
    #[arg(
        value_name = "ID",
        value_parser = crate::args::not_blank,
        required_unless_present = "state",
        add = shell_completion::mailbox_messages(None)
    )]
    message_ids: Vec<String>,
    /// All messages in this state: queued, leased or dead
    #[arg(long, value_name = "STATE", value_enum, conflicts_with = "message_ids")]
    state: Option<StateArg>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl RequeueMessages {
    pub(super) async fn run(self, owner: &Owner, global: &Global, output: Output) -> Result<(), Exit> {
        let change = Change {
            action: MailboxAction::Requeue,
            message_ids: self.message_ids,
            state: self.all.then_some(MailboxState::Dead),
            signing: self.signing,
            timeout: self.timeout,
        };
        change.run(owner, global, output).await
    }
}

impl DropMessages {
    pub(super) async fn run(self, owner: &Owner, global: &Global, output: Output) -> Result<(), Exit> {
        if self.state == Some(StateArg::Done) {
            let failure = Failure::refused("messages that were delivered are not dropped").with_code("wrong_usage");
            return Err(failure
                .hint("the registry forgets them by itself, after a day; --state takes queued, leased or dead")
                .into());
        }
        let change = Change {
            action: MailboxAction::Drop,
            message_ids: self.message_ids,
            state: self.state.map(Into::into),
            signing: self.signing,
            timeout: self.timeout,
        };
        change.run(owner, global, output).await
    }
}

/// An action on these messages, or on all in a state.
struct Change {
    action: MailboxAction,
    message_ids: Vec<String>,
    state: Option<MailboxState>,
    signing: SigningArgs,
    timeout: CallTimeout,
}

impl Change {
    async fn run(mut self, owner: &Owner, global: &Global, output: Output) -> Result<(), Exit> {
        // Each counts once.
        for id in &mut self.message_ids {
            *id = id.trim().to_owned();
        }
        self.message_ids.sort_unstable();
        self.message_ids.dedup();
        let account_id = owner.required_account(global).await?;
        let spinner = Spinner::start(output, "waiting for registry.mailbox_action".to_owned());
        let work = async {
            let registry = connect_registry(global).await?.with_timeout(self.timeout.duration());
            let key = self.key(&registry, &account_id).await?;
            self.request_all(&registry, &account_id, key.as_ref())
                .await
                .map_err(Exit::from)
        };
        let reply = StopSignals::listen()?.unless(work).await?;
        spinner.end();
        self.report(&reply, &account_id, output)
    }

    /// Sends as many requests as the messages need.
    async fn request_all(
        &self,
        registry: &RegistryClient,
        account_id: &str,
        key: Option<&SigningKey>,
    ) -> Result<MailboxActionReply, Failure> {
        let mut sum = MailboxActionReply::default();
        let Some(state) = self.state else {
            for ids in self.message_ids.chunks(MAX_ACTION_MESSAGES) {
                let reply = self.request(registry, account_id, ids, None, key).await?;
                sum.changed += reply.changed;
                sum.generated_at = reply.generated_at;
            }
            return Ok(sum);
        };
        // One request may change only some of them. Messages that come meanwhile are not waited for.
        let wanted = count_in_state(registry, account_id, state).await?;
        loop {
            let reply = self.request(registry, account_id, &[], Some(state), key).await?;
            sum.changed += reply.changed;
            sum.generated_at = reply.generated_at;
            if reply.changed <= 0 || sum.changed >= wanted {
                return Ok(sum);
            }
        }
    }

    async fn request(
        &self,
        registry: &RegistryClient,
        account_id: &str,
        message_ids: &[String],
        state: Option<MailboxState>,
        key: Option<&SigningKey>,
    ) -> Result<MailboxActionReply, Failure> {
        let request = MailboxActionRequest {
            account_id: account_id.to_owned(),
            session_tag: String::new(),
            action: self.action,
            message_ids: message_ids.to_vec(),
            state,
            auth: RequestAuth::default(),
        };
        let called = registry.mailbox_action(request, key).await;
        called.map_err(|error| registry_failure(&error))
    }

    /// The account's key, if this environment signs.
    async fn key(&self, registry: &RegistryClient, account_id: &str) -> Result<Option<SigningKey>, Failure> {
        let Some(directory) = self.signing.signing_directory()? else {
            return Ok(None);
        };
        account_key(registry, &directory, account_id, "mailbox").await.map(Some)
    }

    fn report(&self, reply: &MailboxActionReply, account_id: &str, output: Output) -> Result<(), Exit> {
        let changed = usize::try_from(reply.changed).unwrap_or_default();
        if let Some(failure) = self.nothing_changed(changed, account_id) {
            return Err(failure.into());
        }
        if output.is_json() {
            output.document(&reply.encode())?;
        } else {
            let done = match (self.action, changed) {
                (MailboxAction::Requeue, 1) => "is queued again",
                (MailboxAction::Requeue, _) => "are queued again",
                (MailboxAction::Drop, 1) => "was dropped; its sender is notified",
                (MailboxAction::Drop, 0) => "were dropped",
                (MailboxAction::Drop, _) => "were dropped; their senders are notified",
            };
            let tick = output.tint(Tint::Green, "✓");
            output.line(format!("{tick} {} {done}", MESSAGES.count(changed)))?;
        }
        let missed = self.message_ids.len().saturating_sub(changed);
        if missed > 0 {
            output.note(format!(
                "note: {missed} of {} stay as they are: {}",
                MESSAGES.count(self.message_ids.len()),
                self.condition()
            ));
        }
        Ok(())
    }

    /// The failure for ids of which none was changed.
    fn nothing_changed(&self, changed: usize, account_id: &str) -> Option<Failure> {
        (changed == 0 && !self.message_ids.is_empty()).then(|| {
            let listed = format!("`agentnet mailbox list --account-id {}` shows them", clean(account_id));
            Failure::refused(format!("mailbox_nothing_changed: {}", self.condition()))
                .hint(listed)
                .with_network()
        })
    }

    /// What messages must be for the action.
    fn condition(&self) -> &'static str {
        match self.action {
            MailboxAction::Requeue => "only dead messages of this mailbox that have not expired are queued again",
            MailboxAction::Drop => "only messages of this mailbox that wait, are leased or dead are dropped",
        }
    }
}

/// The number of messages of the account in this state.
async fn count_in_state(registry: &RegistryClient, account_id: &str, state: MailboxState) -> Result<i64, Failure> {
    let request = MailboxStatusRequest {
        account_id: Some(account_id.to_owned()),
        username: None,
    };
    let status = registry.call(&request).await;
    let status = status.map_err(|error| registry_failure(&error))?;
    Ok(match state {
        MailboxState::Queued => status.queued,
        MailboxState::Leased => status.leased,
        MailboxState::Dead => status.dead,
        MailboxState::Done => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        requeue: RequeueMessages,
    }

    #[test]
    fn ids_without_effect_are_a_failure_and_a_state_is_not() {
        let change = |words: &[&str]| {
            let RequeueMessages {
                message_ids,
                all,
                signing,
                timeout,
            } = <Line as clap::Parser>::parse_from([&["requeue"], words].concat()).requeue;
            Change {
                action: MailboxAction::Requeue,
                message_ids,
                state: all.then_some(MailboxState::Dead),
                signing,
                timeout,
            }
        };
        assert!(change(&["--all"]).nothing_changed(0, "acct_1").is_none());
        assert!(change(&["m1", "m2"]).nothing_changed(1, "acct_1").is_none());
        let failure = change(&["m1"]).nothing_changed(0, "acct_1").unwrap();
        let text = failure.text();
        assert!(
            text.starts_with("error: mailbox_nothing_changed: only dead messages")
                && text.contains("--account-id acct_1"),
            "{text}"
        );
        assert_eq!(Exit::from(failure).code(), 2);
    }
}

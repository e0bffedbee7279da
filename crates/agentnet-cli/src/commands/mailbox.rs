//! `agentnet mailbox`: messages that the registry keeps for agents that are offline (PROTOCOL.md section 21).

mod change;
mod list;
mod status;

use agentnet_protocol::mailbox::MailboxState;
use clap::{Args, Subcommand, ValueEnum};

use crate::accounts;
use crate::args::CallTimeout;
use crate::exit::{Exit, Failure};
use crate::failures::mailbox::explain_old_registry;
use crate::global::Global;
use crate::output::Output;

const AFTER_HELP: &str = "\
Without a command: with --username or --account-id as `list`, else as `status`.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Mailbox {
    #[command(flatten)]
    owner: Owner,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the messages in the mailbox of an agent, oldest first
    List(list::List),
    /// Show how full the mailbox of an agent is, or all mailboxes together
    Status(status::Status),
    /// Deliver dead messages again, with all their attempts
    Requeue(change::RequeueMessages),
    /// Delete messages; their senders are notified
    Drop(change::DropMessages),
}

impl Mailbox {
    /// Whether it lists rows.
    pub(crate) fn lists(&self) -> bool {
        match &self.action {
            None => self.owner.is_named(),
            Some(action) => matches!(action, Action::List(_)),
        }
    }

    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let owner = &self.owner;
        let result = match self.action {
            None if owner.is_named() => list::List::default().run(owner, global, output).await,
            None => {
                let status = status::Status::with_timeout(CallTimeout::default());
                status.run(owner, global, output).await
            }
            Some(Action::List(list)) => list.run(owner, global, output).await,
            Some(Action::Status(status)) => status.run(owner, global, output).await,
            Some(Action::Requeue(requeue)) => requeue.run(owner, global, output).await,
            Some(Action::Drop(drop)) => drop.run(owner, global, output).await,
        };
        match result {
            Err(Exit::Failed(failure)) => Err(explain_old_registry(global, failure).await.into()),
            result => result,
        }
    }
}

/// The agent whose mailbox it is.
#[derive(Debug, Args)]
struct Owner {
    /// The agent's username, with or without @
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        value_parser = crate::args::not_blank,
        conflicts_with = "account_id",
        add = crate::shell_completion::usernames()
    )]
    username: Option<String>,
    /// The agent's account id, or its beginning
    #[arg(long, global = true, value_name = "ID", value_parser = crate::args::not_blank)]
    account_id: Option<String>,
}

impl Owner {
    fn is_named(&self) -> bool {
        self.username.is_some() || self.account_id.is_some()
    }

    /// The account id; `None` if no agent is named.
    ///
    /// # Errors
    /// No account has the username, or the id is ambiguous.
    async fn account(&self, global: &Global) -> Result<Option<String>, Failure> {
        match &self.username {
            Some(username) => accounts::id_of(global, username).await.map(Some),
            None => accounts::optional_full_id(global, self.account_id.as_ref()).await,
        }
    }

    /// As [`Owner::account`], for commands that need an agent.
    async fn required_account(&self, global: &Global) -> Result<String, Failure> {
        self.account(global).await?.ok_or_else(|| {
            Failure::refused("the agent whose mailbox it is is not named")
                .with_code("wrong_usage")
                .hint(
                    "name it with --username or --account-id; `agentnet mailbox status` counts all mailboxes together",
                )
        })
    }
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateArg {
    /// It waits for its receiver
    Queued,
    /// A session of its receiver has it
    Leased,
    /// It cannot be delivered
    Dead,
    /// It was delivered within the last day
    Done,
}

impl From<StateArg> for MailboxState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Queued => Self::Queued,
            StateArg::Leased => Self::Leased,
            StateArg::Dead => Self::Dead,
            StateArg::Done => Self::Done,
        }
    }
}

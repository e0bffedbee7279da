//! `agentnet thread-messages`: the history of one thread, newest first.

use agentnet_protocol::rpc::{HistoryMessage, ThreadMessagesRequest};
use clap::Args;

use super::{at_most, limit};
use crate::cli::Global;
use crate::ended::Ended;
use crate::output::Output;
use crate::output::cell::{clean, or_dash};
use crate::output::table::Rows;
use crate::pages::PageArgs;

#[derive(Debug, Args)]
pub(crate) struct ThreadMessages {
    /// Which thread
    #[arg(long, value_name = "ID", add = crate::live::threads())]
    thread_id: String,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

impl ThreadMessages {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let request = ThreadMessagesRequest {
            thread_id: self.thread_id,
            limit: at_most(self.limit, 200, output),
            ..Default::default()
        };
        let Some(listed) = self.page.list(global, output, request).await? else {
            return Ok(());
        };
        let mut rows =
            Rows::new(output, &["Sent", "Kind", "From", "To", "Message"]).yielding(&["From", "To", "Message", "Kind"]);
        for message in &listed.items {
            rows.push([
                output.stamp(&message.sent_at),
                clean(&message.kind).into_owned(),
                sender(message, output),
                receiver(message, output),
                output.payload(&message.payload),
            ]);
        }
        rows.print("No messages found")?;
        listed.lead_on(output)
    }
}

/// The sending account, else the agent's own label.
pub(super) fn sender(message: &HistoryMessage, output: Output) -> String {
    match message.from_account_id.as_deref() {
        Some(account) => output.account(Some(account)),
        None => or_dash(message.from_agent.as_deref()),
    }
}

/// The receiving account, else what the message was addressed to.
pub(super) fn receiver(message: &HistoryMessage, output: Output) -> String {
    match message.to_account_id.as_deref() {
        Some(account) => output.account(Some(account)),
        None => or_dash(Some(&message.to_agent)),
    }
}

//! `agentnet thread-messages`: the history of one thread, newest first.

use agentnet_protocol::rpc::{HistoryMessage, ThreadMessagesRequest};
use clap::Args;

use super::search::next_cursor;
use super::{at_most, limit};
use crate::cli::Global;
use crate::connection::{CallTimeout, ask};
use crate::ended::Ended;
use crate::output::Output;
use crate::output::cell::{clean, or_dash, preview};
use crate::output::table::Rows;

#[derive(Debug, Args)]
pub(crate) struct ThreadMessages {
    /// Which thread
    #[arg(long, value_name = "ID", add = crate::live::threads())]
    thread_id: String,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = limit, allow_negative_numbers = true)]
    limit: usize,
    /// Page to show: the next_cursor of the page before
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl ThreadMessages {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let request = ThreadMessagesRequest {
            thread_id: self.thread_id,
            limit: at_most(self.limit, 200, output),
            cursor: self.cursor,
        };
        let Some(reply) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        if reply.messages.is_empty() {
            return Ok(output.line("No messages found")?);
        }
        let mut rows = Rows::new(output, &["Sent", "Kind", "From", "To", "Message"]);
        for message in &reply.messages {
            rows.push([
                output.stamp(&message.sent_at),
                clean(&message.kind).into_owned(),
                sender(message, output),
                receiver(message, output),
                preview(&message.payload),
            ]);
        }
        output.line(rows.finish())?;
        next_cursor(output, reply.next_cursor.as_deref())
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

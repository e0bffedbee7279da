//! `agentnet message-search`: messages by thread, sender, receiver, kind and time.

use agentnet_protocol::rpc::{MessageSearchFilters, MessageSearchRequest};
use clap::Args;

use super::search::next_cursor;
use super::thread_messages::{receiver, sender};
use super::{at_most, given, limit};
use crate::cli::Global;
use crate::connection::{CallTimeout, ask};
use crate::ended::Ended;
use crate::output::Output;
use crate::output::cell::{clean, preview};
use crate::output::table::Rows;

#[derive(Debug, Args)]
pub(crate) struct MessageSearch {
    /// Only this thread
    #[arg(long, value_name = "ID", add = crate::live::threads())]
    thread_id: Option<String>,
    /// Only messages from this account
    #[arg(long, value_name = "ID")]
    from_account_id: Option<String>,
    /// Only messages to this account
    #[arg(long, value_name = "ID")]
    to_account_id: Option<String>,
    /// Only this kind: direct, request, reply, error, system, stream, …
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only messages sent at this time or later, e.g. 2026-02-21T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from_ts: Option<String>,
    /// Only messages sent at this time or before
    #[arg(long, value_name = "TIME")]
    to_ts: Option<String>,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = limit, allow_negative_numbers = true)]
    limit: usize,
    /// Page to show: the next_cursor of the page before
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl MessageSearch {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let request = MessageSearchRequest {
            filters: MessageSearchFilters {
                thread_id: given(self.thread_id.as_ref()),
                from_account_id: given(self.from_account_id.as_ref()),
                to_account_id: given(self.to_account_id.as_ref()),
                kind: given(self.kind.as_ref()),
                from_ts: given(self.from_ts.as_ref()),
                to_ts: given(self.to_ts.as_ref()),
            },
            limit: at_most(self.limit, 200, output),
            cursor: self.cursor,
        };
        let Some(reply) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        if reply.messages.is_empty() {
            return Ok(output.line("No matching messages found")?);
        }
        let mut rows = Rows::new(output, &["Sent", "Thread", "Kind", "From", "To", "Message"]);
        for message in &reply.messages {
            rows.push([
                output.stamp(&message.sent_at),
                clean(&message.thread_id).into_owned(),
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

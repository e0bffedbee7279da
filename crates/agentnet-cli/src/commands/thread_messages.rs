//! `agentnet thread-messages`: the history of one thread, newest first.

use agentnet::RegistryClient;
use agentnet_protocol::rpc::{HistoryMessage, ThreadLimits, ThreadMessagesRequest, ThreadStatusRequest};
use clap::Args;

use super::thread_status::check_thread;
use crate::account_names::PageNames;
use crate::account_names::without_account;
use crate::args::{capped_limit, page_limit};
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{MESSAGES, Rows};
use crate::pages::{Listed, PageArgs};

#[derive(Debug, Args)]
pub(crate) struct ThreadMessages {
    /// Which thread
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::threads())]
    thread_id: String,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

impl ThreadMessages {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let request = ThreadMessagesRequest {
            thread_id: self.thread_id,
            limit: capped_limit(self.limit, 200, output),
            ..Default::default()
        };
        let thread_id = request.thread_id.clone();
        let known = async |registry: &RegistryClient| check_thread(registry, &thread_id).await;
        let Some(listed) = self.page.list_checked(global, output, request, known).await? else {
            return Ok(());
        };
        let mut rows =
            Rows::new(output, &["Sent", "Kind", "From", "To", "Message"]).yielding(&["From", "To", "Message", "Kind"]);
        let names = party_names(&listed.registry, &listed.items, output).await;
        for message in &listed.items {
            rows.push([
                output.moment(Some(&message.sent_at)),
                clean(&message.kind).into_owned(),
                sender(message, &names),
                receiver(message, &names, output),
                output.payload(&message.payload),
            ]);
        }
        rows.print(MESSAGES, "No messages found")?;
        hint_next_page(&listed, thread_id, output).await;
        Ok(())
    }
}

/// Prints a hint for the next page of a thread's messages, with their total number.
pub(super) async fn hint_next_page(listed: &Listed<HistoryMessage>, thread_id: String, output: Output) {
    let status = ThreadStatusRequest {
        thread_id,
        limits: ThreadLimits::default(),
    };
    listed
        .hint_next_page_with(output, &status, |status| Some(status.thread.message_count))
        .await;
}

/// The names of the senders and receivers of these messages.
pub(super) async fn party_names(registry: &RegistryClient, messages: &[HistoryMessage], output: Output) -> PageNames {
    let both = messages
        .iter()
        .flat_map(|message| [&message.from_account_id, &message.to_account_id]);
    PageNames::look_up(registry, both.flatten().map(String::as_str), output).await
}

/// The sending account, else the agent's own label, marked as such.
pub(super) fn sender(message: &HistoryMessage, names: &PageNames) -> String {
    match message.from_account_id.as_deref() {
        Some(account) => names.display(Some(account)),
        None => without_account(message.from_agent.as_deref().unwrap_or_default()),
    }
}

/// The receiving account, else the target of the message.
pub(super) fn receiver(message: &HistoryMessage, names: &PageNames, output: Output) -> String {
    match message.to_account_id.as_deref() {
        Some(account) => names.display(Some(account)),
        None => output.or_blank(Some(&message.to_agent)),
    }
}

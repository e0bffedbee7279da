//! `agentnet message-search`: messages by thread, sender, receiver, kind and time.

use agentnet::RegistryClient;
use agentnet_protocol::rpc::{MessageSearchFilters, MessageSearchRequest};
use clap::Args;

use super::thread_messages::{hint_next_page, party_names, receiver, sender};
use crate::accounts;
use crate::args::{capped_limit, page_limit, trimmed};
use crate::did_you_mean;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{MESSAGES, Rows};
use crate::pages::PageArgs;

#[derive(Debug, Args)]
pub(crate) struct MessageSearch {
    /// Only this thread
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::threads())]
    thread_id: Option<String>,
    /// Only messages from this agent: a username, with or without @, an account id, or its beginning
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    from: Option<String>,
    /// Only messages to this agent, named in the same way
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    to: Option<String>,
    /// Only messages from this account
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, conflicts_with = "from")]
    from_account_id: Option<String>,
    /// Only messages to this account
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, conflicts_with = "to")]
    to_account_id: Option<String>,
    /// Only this kind: direct, request, reply, error, system, stream, …
    #[arg(long, value_name = "KIND", value_parser = crate::args::not_blank)]
    kind: Option<String>,
    /// Only messages sent at this time or later, e.g. 2026-02-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::args::not_blank)]
    from_ts: Option<String>,
    /// Only messages sent at this time or before
    #[arg(long, value_name = "TIME", value_parser = crate::args::not_blank)]
    to_ts: Option<String>,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

impl MessageSearch {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let from = accounts::optional_full_id(global, self.from_account_id.as_ref()).await?;
        let to = accounts::optional_full_id(global, self.to_account_id.as_ref()).await?;
        let kind = trimmed(self.kind.as_ref());
        if let Some(note) = kind.as_deref().and_then(did_you_mean::kind_note) {
            output.note(note);
        }
        let request = MessageSearchRequest {
            filters: MessageSearchFilters {
                message_id: None,
                thread_id: trimmed(self.thread_id.as_ref()),
                from_account_id: accounts::optional_id_of(global, self.from.as_ref()).await?.or(from),
                to_account_id: accounts::optional_id_of(global, self.to.as_ref()).await?.or(to),
                kind,
                from_ts: trimmed(self.from_ts.as_ref()),
                to_ts: trimmed(self.to_ts.as_ref()),
            },
            limit: capped_limit(self.limit, 200, output),
            ..Default::default()
        };
        let parties = [
            request.filters.from_account_id.clone(),
            request.filters.to_account_id.clone(),
        ];
        // A thread knows its number of messages; results of other filters are not counted.
        let is_whole_thread = request.filters
            == MessageSearchFilters {
                thread_id: request.filters.thread_id.clone(),
                ..Default::default()
            };
        let whole_thread = request.filters.thread_id.clone().filter(|_| is_whole_thread);
        let known = async |registry: &RegistryClient| {
            for account_id in parties.iter().flatten() {
                accounts::check_exists(registry, account_id).await?;
            }
            Ok(())
        };
        let Some(listed) = self.page.list_checked(global, output, request, known).await? else {
            return Ok(());
        };
        let mut rows = Rows::new(output, &["Sent", "Thread", "Kind", "From", "To", "Message"])
            .yielding(&["To", "From", "Message", "Thread", "Kind"]);
        let who = party_names(&listed.registry, &listed.items, output).await;
        for message in &listed.items {
            rows.push([
                output.moment(Some(&message.sent_at)),
                clean(&message.thread_id).into_owned(),
                clean(&message.kind).into_owned(),
                sender(message, &who),
                receiver(message, &who, output),
                output.payload(&message.payload),
            ]);
        }
        rows.print(MESSAGES, "No matching messages found")?;
        match whole_thread {
            Some(thread_id) => hint_next_page(&listed, thread_id, output).await,
            None => listed.hint_next_page(output),
        }
        Ok(())
    }
}

//! `agentnet threads`: threads, latest activity first.

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ThreadListRequest;
use agentnet_protocol::username::lookup_key;
use clap::Args;

use crate::account_names::PageNames;
use crate::accounts;
use crate::args::{ThreadLimitArgs, capped_limit, checked_username, page_limit};
use crate::did_you_mean;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{Noun, Rows};
use crate::pages::PageArgs;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("participant").multiple(false))]
pub(crate) struct Threads {
    /// Only threads that this account takes part in
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, group = "participant")]
    participant_account: Option<String>,
    /// Only threads that this agent takes part in
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, group = "participant", add = crate::shell_completion::usernames())]
    participant_username: Option<String>,
    /// Part of a thread id, in any case
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    query: Option<String>,
    /// How many to show, 1 to 100
    #[arg(long, value_name = "N", default_value = "20", value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    limits: ThreadLimitArgs,
    #[command(flatten)]
    page: PageArgs,
}

impl Threads {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let username = self.participant_username.as_deref().map(checked_username).transpose()?;
        let account_id = accounts::optional_full_id(global, self.participant_account.as_ref()).await?;
        let request = ThreadListRequest {
            query: self.query.unwrap_or_default(),
            limit: capped_limit(self.limit, 100, output),
            participant_account_id: account_id.clone(),
            participant_username: username.as_deref().map(lookup_key),
            limits: self.limits.limits(),
            ..Default::default()
        };
        let participant = async |registry: &RegistryClient| match &account_id {
            Some(account_id) => accounts::check_exists(registry, account_id).await,
            None => Ok(()),
        };
        let listed = self.page.list_checked(global, output, request, participant).await?;
        let Some(listed) = listed else {
            return Ok(());
        };
        let mut rows = Rows::new(
            output,
            &[
                "Thread ID",
                "Status",
                "Messages",
                "Tokens~",
                "Last Activity",
                "Participants",
            ],
        )
        .yielding(&["Participants", "Tokens~", "Status", "Last Activity", "Thread ID"]);
        let accounts = listed.items.iter().flat_map(|thread| &thread.participants);
        let names = PageNames::look_up(&listed.registry, accounts.map(String::as_str), output).await;
        for thread in &listed.items {
            rows.push([
                clean(&thread.thread_id).into_owned(),
                clean(&thread.status).into_owned(),
                thread.message_count.to_string(),
                thread.approx_tokens.to_string(),
                output.moment(thread.last_message_at.as_deref().or(Some(&thread.updated_at))),
                participants(&thread.participants, &names, output),
            ]);
        }
        if listed.items.is_empty()
            && let Some(name) = &self.participant_username
        {
            did_you_mean::note_unknown_username(&listed.registry, name, output).await;
        }
        rows.print(Noun("thread", "threads"), "No matching threads found")?;
        listed.hint_next_page(output);
        Ok(())
    }
}

/// The accounts of a thread in one cell.
pub(super) fn participants(ids: &[String], names: &PageNames, output: Output) -> String {
    match ids {
        [] => output.blank(),
        ids => ids
            .iter()
            .map(|id| names.display(Some(id)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

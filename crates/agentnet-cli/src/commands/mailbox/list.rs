//! `agentnet mailbox list`: the messages of one mailbox.

use agentnet::RegistryClient;
use agentnet_protocol::rpc::{MailboxItem, MailboxListRequest};
use clap::Args;

use super::{Owner, StateArg};
use crate::account_names::PageNames;
use crate::accounts;
use crate::args::{capped_limit, page_limit};
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{MESSAGES, Rows};
use crate::pages::PageArgs;

/// The largest page of the registry.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 50;

const COLUMNS: [&str; 8] = [
    "Queued",
    "State",
    "From",
    "Message ID",
    "Attempts",
    "Expires",
    "Reason",
    "Message",
];
const YIELDING: [&str; 6] = ["Message", "Reason", "Expires", "Attempts", "From", "Queued"];

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only messages in this state
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<StateArg>,
    /// How many to show, 1 to 200
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

impl Default for List {
    fn default() -> Self {
        Self {
            state: None,
            limit: DEFAULT_LIMIT,
            page: PageArgs::default(),
        }
    }
}

impl List {
    pub(super) async fn run(self, owner: &Owner, global: &Global, output: Output) -> Result<(), Exit> {
        let account_id = owner.required_account(global).await?;
        let request = MailboxListRequest {
            account_id: Some(account_id.clone()),
            state: self.state.map(Into::into),
            limit: capped_limit(self.limit, MAX_LIMIT, output),
            ..Default::default()
        };
        let known = async |registry: &RegistryClient| accounts::check_exists(registry, &account_id).await;
        let Some(listed) = self.page.list_checked(global, output, request, known).await? else {
            return Ok(());
        };
        let senders = listed.items.iter().map(|message| message.from_account_id.as_str());
        let names = PageNames::look_up_for_table(&listed.registry, senders, output).await;
        let mut rows = Rows::new(output, &COLUMNS).yielding(&YIELDING);
        for message in &listed.items {
            rows.push(cells(message, &names, output));
        }
        rows.print(MESSAGES, "No messages in this mailbox")?;
        listed.hint_next_page(output);
        Ok(())
    }
}

fn cells(message: &MailboxItem, names: &PageNames, output: Output) -> [String; COLUMNS.len()] {
    [
        output.moment(Some(&message.queued_at)),
        clean(&message.state).into_owned(),
        names.display(Some(&message.from_account_id)),
        clean(&message.message_id).into_owned(),
        message.attempts.to_string(),
        output.due(&message.expires_at),
        reason(message, output),
        output.or_blank(Some(&message.preview)),
    ]
}

/// Why the last attempt failed: code and detail.
fn reason(message: &MailboxItem, output: Output) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    match (part(&message.last_code), part(&message.last_detail)) {
        (code, detail) if code.is_empty() || detail.is_empty() => output.or_blank(Some(&format!("{code}{detail}"))),
        (code, detail) => output.or_blank(Some(&format!("{code}: {detail}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_code_and_detail_on_one_line() {
        let output = Output::fixed(false, false);
        for (code, detail, shown) in [
            (None, None, "—"),
            (Some("busy"), None, "busy"),
            (None, Some("later"), "later"),
            (
                Some("handler_error"),
                Some("it\nbroke\u{1b}"),
                "handler_error: it broke\u{fffd}",
            ),
        ] {
            let message = MailboxItem {
                last_code: code.map(str::to_owned),
                last_detail: detail.map(str::to_owned),
                ..MailboxItem::default()
            };
            assert_eq!(reason(&message, output), shown);
        }
    }

    #[test]
    fn only_columns_that_exist_yield() {
        assert!(YIELDING.iter().all(|column| COLUMNS.contains(column)));
        assert!(!YIELDING.contains(&"Message ID"), "commands need the whole id");
    }
}

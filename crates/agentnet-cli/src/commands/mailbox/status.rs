//! `agentnet mailbox status`: how full one mailbox is, or all together.

use agentnet_protocol::rpc::{MailboxStatusReply, MailboxStatusRequest};
use clap::Args;

use super::Owner;
use crate::args::CallTimeout;
use crate::connection::ask;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::facts;

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Status {
    pub(super) fn with_timeout(timeout: CallTimeout) -> Self {
        Self { timeout }
    }

    pub(super) async fn run(self, owner: &Owner, global: &Global, output: Output) -> Result<(), Exit> {
        let account_id = owner.account(global).await?;
        let request = MailboxStatusRequest {
            account_id: account_id.clone(),
            username: None,
        };
        let Some(status) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        let whose = match (&owner.username, account_id) {
            (Some(username), _) => format!("@{}", clean(username.trim().trim_start_matches('@'))),
            (None, Some(id)) => clean(&id).into_owned(),
            (None, None) => "all accounts".to_owned(),
        };
        Ok(output.line(facts(output, rows(&status, whose, output)))?)
    }
}

fn rows(status: &MailboxStatusReply, whose: String, output: Output) -> Vec<(&'static str, String)> {
    let limit = |count: i64, limit: Option<i64>| match limit.filter(|limit| *limit > 0) {
        Some(limit) => format!("{count} of {limit}"),
        None => count.to_string(),
    };
    vec![
        ("Mailbox", whose),
        ("Queued", limit(status.queued, status.limit_messages)),
        ("Leased", status.leased.to_string()),
        ("Dead", status.dead.to_string()),
        ("Bytes", limit(status.bytes, Some(status.limit_bytes))),
        ("Oldest", output.moment(status.oldest_queued_at.as_deref())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_beside_what_they_limit() {
        let status = MailboxStatusReply {
            queued: 3,
            dead: 1,
            bytes: 700,
            limit_messages: Some(1000),
            limit_bytes: 16_777_216,
            ..MailboxStatusReply::default()
        };
        let text = facts(
            Output::fixed(false, false),
            rows(&status, "@bob".to_owned(), Output::fixed(false, false)),
        );
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Mailbox", "@bob"]);
        assert_eq!(lines[1], ["Queued", "3", "of", "1000"]);
        assert_eq!(lines[4], ["Bytes", "700", "of", "16777216"]);
        assert_eq!(lines[5], ["Oldest", "—"]);
        let network = MailboxStatusReply {
            limit_messages: None,
            ..status
        };
        let rows = rows(&network, "all accounts".to_owned(), Output::fixed(false, false));
        assert_eq!(rows[1], ("Queued", "3".to_owned()));
    }
}

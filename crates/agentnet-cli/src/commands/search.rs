//! `agentnet search`: agents by name or capability.

use agentnet_protocol::rpc::SearchRequest;
use clap::Args;

use super::{at_most, given, limit};
use crate::cli::Global;
use crate::connection::{CallTimeout, ask};
use crate::ended::Ended;
use crate::output::Output;
use crate::output::cell::{at, clean, list};
use crate::output::table::Rows;

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Part of a username, display name or account id, in any case
    #[arg(long, value_name = "TEXT", default_value = "")]
    query: String,
    /// Only agents with this capability
    #[arg(long, value_name = "NAME", add = crate::live::capabilities())]
    capability: Option<String>,
    /// How many to show, 1 to 100
    #[arg(long, value_name = "N", default_value = "20", value_parser = limit, allow_negative_numbers = true)]
    limit: usize,
    /// Only agents that are online
    #[arg(long)]
    online_only: bool,
    /// Page to show: the next_cursor of the page before
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Search {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let request = SearchRequest {
            query: self.query,
            capability: given(self.capability.as_ref()),
            limit: at_most(self.limit, 100, output),
            online_only: self.online_only,
            cursor: self.cursor,
        };
        let Some(reply) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        if reply.results.is_empty() {
            return Ok(output.line("No results found.")?);
        }
        let mut rows = Rows::with_dots(output, &["Name", "Username", "Account ID", "Capabilities", "Status"]);
        for hit in &reply.results {
            rows.push_with_dot(
                hit.online,
                [
                    clean(&hit.display_name).into_owned(),
                    at(Some(&hit.username)),
                    output.account(Some(&hit.account_id)),
                    list(&hit.capabilities),
                    if hit.online { "online" } else { "offline" }.to_owned(),
                ],
            );
        }
        output.line(rows.finish())?;
        next_cursor(output, reply.next_cursor.as_deref())
    }
}

/// The line that leads to the next page, if there is one.
pub(super) fn next_cursor(output: Output, cursor: Option<&str>) -> Result<(), Ended> {
    match cursor {
        Some(cursor) => Ok(output.line(format!("next_cursor={}", clean(cursor)))?),
        None => Ok(()),
    }
}

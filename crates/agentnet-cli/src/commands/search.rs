//! `agentnet search`: agents by name or capability.

use agentnet_protocol::rpc::SearchRequest;
use clap::Args;

use crate::args::{capped_limit, page_limit, trimmed};
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{AGENTS, Rows};
use crate::pages::PageArgs;

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Part of a username, display name or account id, in any case
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    query: Option<String>,
    /// Only agents with this capability
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, add = crate::shell_completion::capabilities())]
    capability: Option<String>,
    /// How many to show, 1 to 100
    #[arg(long, value_name = "N", default_value = "20", value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    /// Only agents that are online
    #[arg(long)]
    online_only: bool,
    #[command(flatten)]
    page: PageArgs,
}

impl Search {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let request = SearchRequest {
            query: self.query.unwrap_or_default(),
            capability: trimmed(self.capability.as_ref()),
            limit: capped_limit(self.limit, 100, output),
            online_only: self.online_only,
            ..Default::default()
        };
        let Some(listed) = self.page.list(global, output, request).await? else {
            return Ok(());
        };
        let mut rows = Rows::with_dots(output, &["Name", "Username", "Account ID", "Capabilities", "Status"])
            .yielding(&["Account ID", "Capabilities", "Name"]);
        for hit in &listed.items {
            rows.push_with_dot(
                hit.online,
                [
                    clean(&hit.display_name).into_owned(),
                    output.username(Some(&hit.username)),
                    output.account(Some(&hit.account_id)),
                    output.list(&hit.capabilities),
                    if hit.online { "online" } else { "offline" }.to_owned(),
                ],
            );
        }
        rows.print(AGENTS, "No results found.")?;
        listed.hint_next_page(output);
        Ok(())
    }
}

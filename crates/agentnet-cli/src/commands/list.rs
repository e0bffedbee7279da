//! `agentnet list`: who is online.

use agentnet_protocol::rpc::{ListRequest, MetricsRequest};
use clap::Args;

use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{AGENTS, Rows};
use crate::pages::PageArgs;

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    page: PageArgs,
}

impl List {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let Some(listed) = self.page.list(global, output, ListRequest::default()).await? else {
            return Ok(());
        };
        let mut rows = Rows::with_dots(output, &["Name", "Username", "Account ID", "Capabilities", "Last Seen"])
            .yielding(&["Account ID", "Capabilities", "Name", "Last Seen"]);
        for agent in &listed.items {
            rows.push_with_dot(
                true,
                [
                    clean(&agent.name).into_owned(),
                    output.username(agent.username.as_deref()),
                    output.account(agent.account_id.as_deref()),
                    output.list(&agent.capabilities),
                    output.moment(agent.last_seen.as_deref()),
                ],
            );
        }
        rows.print(AGENTS, "No agents currently online")?;
        listed
            .hint_next_page_with(output, &MetricsRequest, |metrics| metrics.online_sessions)
            .await;
        Ok(())
    }
}

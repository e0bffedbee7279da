//! `agentnet list`: who is online.

use agentnet_protocol::rpc::ListRequest;
use clap::Args;

use crate::cli::Global;
use crate::connection::{CallTimeout, ask};
use crate::ended::Ended;
use crate::output::Output;
use crate::output::cell::{at, clean, list};
use crate::output::table::Rows;

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    timeout: CallTimeout,
}

impl List {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let Some(reply) = ask(global, output, &self.timeout, &ListRequest::default()).await? else {
            return Ok(());
        };
        if reply.agents.is_empty() {
            return Ok(output.line("No agents currently online")?);
        }
        let mut rows = Rows::with_dots(output, &["Name", "Username", "Account ID", "Capabilities", "Last Seen"]);
        for agent in &reply.agents {
            rows.push_with_dot(
                true,
                [
                    clean(&agent.name).into_owned(),
                    at(agent.username.as_deref()),
                    output.account(agent.account_id.as_deref()),
                    list(&agent.capabilities),
                    output.moment(agent.last_seen.as_deref()),
                ],
            );
        }
        output.line(rows.finish())?;
        if reply.next_cursor.is_some() {
            output
                .note("note: more agents are online than one reply holds; `agentnet search --online-only` finds them");
        }
        Ok(())
    }
}

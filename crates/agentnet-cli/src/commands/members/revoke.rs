//! `agentnet revoke`: ends a membership.

use agentnet_protocol::rpc::MemberRevokeRequest;
use clap::Args;

use super::named;
use crate::args::{CallTimeout, not_blank};
use crate::connection::ask;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;

#[derive(Debug, Args)]
#[command(after_help = "\
The member's connections end at once, and it cannot come back. Its account and history are kept: after another `agentnet \
invite NAME` the same account joins with new keys.")]
pub(crate) struct Revoke {
    /// Username or account id of the member
    #[arg(value_name = "NAME", value_parser = not_blank, add = crate::shell_completion::usernames())]
    member: String,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Revoke {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let (account_id, username) = named(&self.member)?;
        let request = MemberRevokeRequest { account_id, username };
        let Some(reply) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        let member = reply.member;
        Ok(output.line(format!(
            "@{} is revoked ({})",
            clean(&member.username),
            clean(&member.account_id)
        ))?)
    }
}

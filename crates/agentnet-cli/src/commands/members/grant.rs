//! `agentnet grant`: changes what a member may do.

use agentnet_protocol::rpc::{MemberGrantRequest, SendPolicy};
use clap::Args;

use super::{named, receiver_ids, receivers};
use crate::args::{CallTimeout, not_blank};
use crate::connection::ask;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;

#[derive(Debug, Args)]
#[command(after_help = "The change holds at once; the member's connections stay.")]
pub(crate) struct Grant {
    /// Username or account id of the member
    #[arg(value_name = "NAME", value_parser = not_blank, add = crate::shell_completion::usernames())]
    member: String,
    /// A capability that it may serve from now on; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = not_blank)]
    capabilities: Vec<String>,
    /// A capability that it may not serve any more; may be given several times
    #[arg(long = "revoke-capability", value_name = "NAME", value_parser = not_blank)]
    revoked_capabilities: Vec<String>,
    /// A username, an account id or capability:NAME; it may send to those given here only; may be given several times
    #[arg(long, value_name = "RECEIVER", value_parser = not_blank)]
    may_send_to: Vec<String>,
    /// It may send to everybody
    #[arg(long, conflicts_with = "may_send_to")]
    may_send_to_all: bool,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Grant {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let changes_nothing = self.capabilities.is_empty()
            && self.revoked_capabilities.is_empty()
            && self.may_send_to.is_empty()
            && !self.may_send_to_all;
        if changes_nothing {
            return Err(Failure::refused("nothing is to be changed")
                .with_code("wrong_usage")
                .hint("give --capability, --revoke-capability, --may-send-to or --may-send-to-all")
                .into());
        }
        let (account_id, username) = named(&self.member)?;
        let may_send_to = match (self.may_send_to.as_slice(), self.may_send_to_all) {
            (_, true) => SendPolicy::Everybody,
            ([], false) => SendPolicy::Keep,
            (given, false) => SendPolicy::Only(receiver_ids(global, given).await?),
        };
        let trimmed = |names: Vec<String>| names.iter().map(|name| name.trim().to_owned()).collect();
        let request = MemberGrantRequest {
            account_id,
            username,
            capabilities_add: trimmed(self.capabilities),
            capabilities_remove: trimmed(self.revoked_capabilities),
            may_send_to,
        };
        let Some(reply) = ask(global, output, &self.timeout, &request).await? else {
            return Ok(());
        };
        let member = reply.member;
        let capabilities = match member.capabilities.is_empty() {
            true => "none".to_owned(),
            false => output.list(&member.capabilities),
        };
        Ok(output.line(format!(
            "@{}: capabilities {capabilities}; may send to {}",
            clean(&member.username),
            receivers(&member, output)
        ))?)
    }
}

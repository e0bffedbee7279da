//! The members of a network in secure mode (PROTOCOL.md section 23): `members`, `invite`, `join`, `revoke`, `grant`.

pub(crate) mod grant;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod revoke;

use agentnet_protocol::rpc::{MemberListRequest, MemberRecord};
use agentnet_protocol::username::normalise;
use clap::Args;

use crate::accounts;
use crate::args::{capped_limit, checked_username, page_limit};
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{Noun, Rows};
use crate::pages::PageArgs;

const MEMBERS: Noun = Noun("member", "members");
/// Beginning of a generated account id.
const ID_PREFIX: &str = "acct_";
/// Beginning of the entry of a policy that allows a capability.
const CAPABILITY_PREFIX: &str = "capability:";

/// Who may use the network.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// How many to show, 1 to 100
    #[arg(long, value_name = "N", default_value = "100", value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

impl Members {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let request = MemberListRequest {
            limit: capped_limit(self.limit, 100, output),
            cursor: None,
        };
        let Some(listed) = self.page.list(global, output, request).await? else {
            return Ok(());
        };
        let header = [
            "Username",
            "Role",
            "State",
            "Capabilities",
            "May Send To",
            "Account ID",
            "Enrolled",
        ];
        let mut rows = Rows::new(output, &header).yielding(&["Account ID", "May Send To", "Capabilities", "Enrolled"]);
        for member in &listed.items {
            rows.push([
                output.username(Some(&member.username)),
                clean(&member.role).into_owned(),
                clean(&member.state).into_owned(),
                output.list(&member.capabilities),
                receivers(member, output),
                output.account(Some(&member.account_id)),
                output.moment(member.enrolled_at.as_deref()),
            ]);
        }
        rows.print(MEMBERS, "No members.")?;
        listed.hint_next_page(output);
        Ok(())
    }
}

/// The accounts and capabilities that a member may send to.
fn receivers(member: &MemberRecord, output: Output) -> String {
    match &member.may_send_to {
        None => "everybody".to_owned(),
        Some(targets) if targets.is_empty() => "nobody".to_owned(),
        Some(targets) => output.list(targets),
    }
}

/// The member that an argument names: an account id, or a username. Exactly one of both is set.
fn named(given: &str) -> Result<(Option<String>, Option<String>), Failure> {
    let given = given.trim();
    if given.starts_with(ID_PREFIX) {
        return Ok((Some(given.to_owned()), None));
    }
    Ok((None, Some(normalise(&checked_username(given)?))))
}

/// The entries of a policy: account ids, and `capability:NAME` as it is.
async fn receiver_ids(global: &Global, given: &[String]) -> Result<Vec<String>, Failure> {
    let mut targets = Vec::with_capacity(given.len());
    for target in given {
        targets.push(match target.trim() {
            capability if capability.starts_with(CAPABILITY_PREFIX) => capability.to_owned(),
            agent => accounts::id_of(global, agent).await?,
        });
    }
    Ok(targets)
}

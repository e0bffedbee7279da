//! `agentnet invite`: a code with which one new member joins.

use agentnet_nats::NatsUrl;
use agentnet_protocol::Timestamp;
use agentnet_protocol::invite::Invite;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::member::Role;
use agentnet_protocol::rpc::{MemberInviteReply, MemberInviteRequest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use url::Url;

use super::receiver_ids;
use crate::args::{CallTimeout, Lifetime, checked_username, not_blank};
use crate::connection::{checked_url, connect_registry, nats_url};
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::signals::StopSignals;
use crate::up::address::is_loopback;

#[derive(Debug, Args)]
#[command(after_help = "\
The code is a secret until it is used: whoever has it can join in the member's place, once. It is the only line on standard \
output.")]
pub(crate) struct InviteMember {
    /// Username of the new member
    #[arg(value_name = "NAME", value_parser = not_blank)]
    username: String,
    /// What it may do: agents send and receive, observers read everything, operators also decide about members
    #[arg(long, value_name = "ROLE", default_value = "agent", value_parser = ["agent", "observer", "operator"])]
    role: String,
    /// A capability that it may serve; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = not_blank)]
    capabilities: Vec<String>,
    /// A username, an account id or capability:NAME that it may send to; may be given several times [default: everybody]
    #[arg(long, value_name = "RECEIVER", value_parser = not_blank)]
    may_send_to: Vec<String>,
    /// How long the code can be used, 60s to 30d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    ttl: Lifetime,
    /// Address by which the new member reaches the network; may be given several times [default: that of this command]
    #[arg(long = "url", value_name = "URL", value_parser = not_blank)]
    urls: Vec<String>,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl InviteMember {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let urls = self.servers(global)?;
        let invite = StopSignals::listen()?.unless(self.invite(global, urls)).await?;
        let code = invite.encode();
        if output.is_json() {
            return Ok(output.document(&document(&invite, &code))?);
        }
        output.note(format!(
            "invite for @{} ({}), to be used once, until {}:",
            clean(&invite.username),
            invite.role.as_str(),
            invite.expires_at
        ));
        output.line(&code)?;
        output.note("in the account of the agent: agentnet join -      # and paste the code");
        if invite.urls.iter().all(|url| is_local(url)) {
            output.note("note: it works on this machine only; --url nats://HOST:4222 names an address for others");
        }
        Ok(())
    }

    /// The addresses in the invite.
    fn servers(&self, global: &Global) -> Result<Vec<String>, Failure> {
        if self.urls.is_empty() {
            return Ok(checked_url(&nats_url(global))?.servers().to_vec());
        }
        let mut servers = Vec::new();
        for url in &self.urls {
            let url = NatsUrl::parse(url).map_err(|error| Failure::refused(error.to_string()))?;
            servers.extend_from_slice(url.servers());
        }
        Ok(servers)
    }

    async fn invite(&self, global: &Global, urls: Vec<String>) -> Result<Invite, Exit> {
        let request = MemberInviteRequest {
            username: checked_username(&self.username)?,
            role: self.role.parse().unwrap_or(Role::Agent),
            capabilities: self.capabilities.iter().map(|name| name.trim().to_owned()).collect(),
            may_send_to: match self.may_send_to.as_slice() {
                [] => None,
                given => Some(receiver_ids(global, given).await?),
            },
            ttl_seconds: i64::try_from(self.ttl.duration().as_secs()).unwrap_or(i64::MAX),
        };
        let registry = connect_registry(global).await?.with_timeout(self.timeout.duration());
        let reply = registry
            .call(&request)
            .await
            .map_err(|error| registry_failure(&error))?;
        assemble(reply, urls).ok_or_else(|| Failure::refused("the registry's reply is no invite").into())
    }
}

/// The invite of the registry's reply, and the addresses.
fn assemble(reply: MemberInviteReply, urls: Vec<String>) -> Option<Invite> {
    Some(Invite {
        urls,
        ca_pem: None,
        role: reply.role.parse().ok()?,
        secret: BASE64_URL_SAFE_NO_PAD.decode(&reply.secret).ok()?.try_into().ok()?,
        join_seed: BASE64_URL_SAFE_NO_PAD.decode(&reply.join_seed).ok()?.try_into().ok()?,
        join_jwt: reply.join_jwt,
        expires_at: Timestamp::parse(&reply.expires_at)?,
        account_id: reply.account_id,
        username: reply.username,
        invite_id: reply.invite_id,
    })
}

fn document(invite: &Invite, code: &str) -> String {
    let mut out = ObjectWriter::new();
    out.text("code", code)
        .text("invite_id", &invite.invite_id)
        .text("account_id", &invite.account_id)
        .text("username", &invite.username)
        .text("role", invite.role.as_str())
        .text("expires_at", &invite.expires_at.to_string())
        .texts("urls", &invite.urls)
        .text("command", &format!("agentnet join {code}"));
    out.finish()
}

fn is_local(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_loopback))
}

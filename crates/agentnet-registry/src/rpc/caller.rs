//! Who makes a request in secure mode, and what it may ask for (PROTOCOL.md sections 23.5 and 23.7). Without secure mode everybody
//! may ask for everything.

use agentnet_protocol::member::Role;
use agentnet_protocol::rpc::{RpcError, SignedRequest};

use super::Call;
use crate::context::Context;

const FORBIDDEN: &str = "forbidden";

pub(super) fn forbidden(sentence: &str) -> RpcError {
    RpcError::with_text(format!("{FORBIDDEN}: {sentence}"))
}

impl Call {
    /// The role of the caller, in secure mode.
    pub(super) fn role(&self, ctx: &Context) -> Option<Role> {
        ctx.members.as_ref()?.role(self.caller.as_deref()?)
    }

    /// Whether the caller may read what concerns others.
    pub(super) fn reads_everything(&self, ctx: &Context) -> bool {
        !ctx.is_secure() || self.role(ctx).is_some_and(Role::reads_everything)
    }

    /// The only account whose messages the caller may read; `None` if it may read all.
    pub(super) fn visible_to(&self, ctx: &Context) -> Option<String> {
        match self.reads_everything(ctx) {
            true => None,
            // A caller that is unknown reads nothing: no account has an empty id.
            false => Some(self.caller.clone().unwrap_or_default()),
        }
    }

    /// Checks that a request about this account is its owner's.
    pub(super) fn check_own(&self, account_id: &str) -> Result<(), RpcError> {
        match self.caller.as_deref() {
            Some(caller) if caller != account_id => Err(forbidden(
                "the credential is of another account than the one that the request names",
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the caller is this account, or may read everything.
    pub(super) fn check_may_read(&self, ctx: &Context, account_id: Option<&str>) -> Result<(), RpcError> {
        if self.reads_everything(ctx) || account_id.is_some() && account_id == self.caller.as_deref() {
            return Ok(());
        }
        Err(forbidden("an agent may ask for what is its own account's only"))
    }

    /// Checks that the caller may send to this receiver, an account id or `capability:<name>`: where the registry delivers for a
    /// sender, the server cannot keep its policy (section 23.2).
    pub(super) fn check_may_send_to(&self, ctx: &Context, receiver: &str) -> Result<(), RpcError> {
        if self.role(ctx) == Some(Role::Observer) {
            return Err(forbidden("an observer sends nothing"));
        }
        let members = ctx.members.as_ref().zip(self.caller.as_deref());
        let member = members.and_then(|(members, caller)| members.active(caller));
        let targets = member.as_ref().and_then(|member| member.may_send_to.as_ref());
        match targets {
            Some(targets) if !targets.iter().any(|target| target == receiver) => {
                Err(forbidden("the policy of the account does not let it send there"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the caller is an operator of a network in secure mode.
    pub(super) fn check_operator(&self, ctx: &Context) -> Result<(), RpcError> {
        match self.role(ctx) {
            _ if !ctx.is_secure() => Err(RpcError::with_text(
                "not_secure: this network has no members; start it with `agentnet up --secure`".to_owned(),
            )),
            Some(Role::Operator) => Ok(()),
            _ => Err(forbidden("only an operator may change or list members")),
        }
    }

    /// A request of the caller's own account.
    pub(super) fn own<R: SignedRequest>(&self, request: R) -> Result<R, RpcError> {
        self.check_own(request.requester().account_id)?;
        Ok(request)
    }

    /// The same; operators may make it for every account.
    pub(super) fn own_or_operator<R: SignedRequest>(&self, ctx: &Context, request: R) -> Result<R, RpcError> {
        match self.role(ctx) {
            Some(Role::Operator) => Ok(request),
            _ => self.own(request),
        }
    }
}

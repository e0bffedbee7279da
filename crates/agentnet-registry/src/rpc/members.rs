//! The members of a network in secure mode: `registry.enroll` and `registry.member_*` (PROTOCOL.md sections 23.4 and 23.5).

use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::invite::check_enrolment;
use agentnet_protocol::nkey::Nkey;
use agentnet_protocol::permissions::{Grant, PermissionError, permissions};
use agentnet_protocol::rpc::{
    CredentialEvent, EnrollReply, EnrollRequest, MemberGrantRequest, MemberInviteReply, MemberInviteRequest,
    MemberListReply, MemberListRequest, MemberRecord, MemberReply, MemberRevokeRequest, RenewReply, RenewRequest,
    Reply as _, RpcError, SendPolicy, member_error_code,
};
use agentnet_protocol::subject::credential_events;
use agentnet_protocol::{ids, username};
use agentnet_store::StoreError;
use agentnet_store::model::{
    AllowedReceivers, Enrolled, Invited, Member, MemberGrant, MemberQuery, MemberState, NewInvite, NewMember, Void,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::caller::forbidden;
use super::{Call, failed};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::secure::jwt_issuer::IssueError;
use crate::secure::members::Members;

/// How far the clocks of the registries may be apart, when rights are taken.
const CLOCK_SKEW_MILLIS: i128 = 60_000;
const STORE_FAILED: &str = "members_failed: the registry's database did not take the request; try again later";
const BROKER_FAILED: &str = "members_failed: the broker did not take the change; see the registry's log";

fn refused(code: &str, sentence: impl std::fmt::Display) -> RpcError {
    RpcError::with_text(format!("{code}: {sentence}"))
}

fn members(ctx: &Context) -> Result<&Arc<Members>, RpcError> {
    ctx.members.as_ref().ok_or_else(|| {
        refused(
            member_error_code::NOT_SECURE,
            "this network has no members; start it with `agentnet up --secure`",
        )
    })
}

/// Brings a change to the broker, and tells the other registries.
async fn changed(ctx: &Context) -> Result<(), RpcError> {
    members(ctx)?.refresh().await.map_err(|error| {
        tracing::error!(%error, "a change of a member is stored, and is not with the broker yet");
        RpcError::with_text(BROKER_FAILED.to_owned())
    })?;
    ctx.peer_events.members_changed().await;
    Ok(())
}

/// Makes a member, and an invite for it.
pub(super) async fn invite(ctx: &Arc<Context>, request: MemberInviteRequest, call: &Call) -> Result<String, RpcError> {
    call.check_operator(ctx)?;
    let now = Now::read().time;
    let (invite_id, join_seed, secret) = (random_id("inv"), rand::random::<[u8; 32]>(), rand::random::<[u8; 16]>());
    let member = NewMember {
        new_account_id: ids::account_id(now.as_unix_millis(), rand::random()),
        username: username::normalise(&request.username),
        role: request.role.as_str().to_owned(),
        capabilities: request.capabilities,
        may_send_to: request.may_send_to,
        at: now,
    };
    check_grant(
        members(ctx)?,
        &Grant {
            role: request.role,
            account_id: &member.new_account_id,
            capabilities: &member.capabilities,
            may_send_to: member.may_send_to.as_deref(),
        },
    )?;
    let invite = NewInvite {
        invite_id,
        secret: secret.to_vec(),
        join_nkey: Nkey::from_seed(&join_seed).public(),
        expires_at: now.saturating_add_millis(i128::from(request.ttl_seconds) * 1000),
    };
    let invited = ctx.store.invite_member(&member, &invite).await.map_err(store_failed)?;
    let Invited::Invited(invited) = invited else {
        return Err(refused(
            "member_exists",
            format_args!(
                "@{} is an active member already; revoke it first, or choose another name",
                member.username
            ),
        ));
    };
    changed(ctx).await?;
    let join_jwt = members(ctx)?.join_jwt(&invite).map_err(not_issued)?;
    tracing::info!(account_id = %invited.account_id, username = %invited.username, role = %invited.role, by = call.caller.as_deref(), "invited");
    Ok(MemberInviteReply {
        invite_id: invite.invite_id,
        account_id: invited.account_id,
        username: invited.username,
        secret: URL_SAFE_NO_PAD.encode(secret),
        join_seed: URL_SAFE_NO_PAD.encode(join_seed),
        expires_at: invite.expires_at.to_string(),
        role: invited.role,
        join_jwt,
    }
    .encode())
}

/// An id that nobody guesses.
fn random_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}

/// What cannot stand in a permission, or makes a credential that the broker does not take, is refused before it is stored.
fn check_grant(members: &Members, grant: &Grant<'_>) -> Result<(), RpcError> {
    permissions(grant).map_err(|error: PermissionError| refused("grant_invalid", error))?;
    let checked = members.broker().check(grant);
    checked.map_err(|error| refused("grant_invalid", error))
}

fn not_issued(error: IssueError) -> RpcError {
    tracing::error!(%error, "a credential cannot be made");
    RpcError::with_text(BROKER_FAILED.to_owned())
}

/// Uses an invite: binds the keys of its member. Every reason to refuse it has one answer; the log says which it is.
pub(super) async fn enroll(ctx: &Arc<Context>, request: EnrollRequest, call: &Call) -> Result<String, RpcError> {
    members(ctx)?;
    let invalid = |why: &str| {
        tracing::warn!(invite_id = %request.invite_id, why, "an invite is refused");
        refused(
            member_error_code::INVITE_INVALID,
            "the invite is unknown, was used, has expired, or is not for this; ask for a new one",
        )
    };
    let now = Now::read().time;
    let found = ctx.store.invite(&request.invite_id).await.map_err(store_failed)?;
    let invite = found.ok_or_else(|| invalid("there is none with this id"))?;
    if call.caller.as_deref() != Some(&invite.invite_id) {
        return Err(invalid("it came with another credential"));
    }
    let secret: Option<&[u8; 16]> = invite.secret.as_slice().try_into().ok();
    let secret = secret.ok_or_else(|| invalid("its secret is damaged"))?;
    check_enrolment(&request, &invite.invite_id, &invite.account_id, secret)
        .map_err(|error| invalid(&error.to_string()))?;
    if members(ctx)?.broker().is_void(&request.nkey) {
        return Err(invalid("its nkey was revoked"));
    }
    let used = ctx.store.use_invite(
        &invite.invite_id,
        &invite.account_id,
        &request.nkey,
        &request.public_key,
        now,
    );
    let member = match used.await {
        Ok(Enrolled::Enrolled(member)) => member,
        Ok(Enrolled::Invalid(why)) => return Err(invalid(&format!("{why:?}"))),
        Err(StoreError::KeyMismatch) => {
            return Err(refused(
                "auth_public_key_mismatch",
                "the account is bound to another key; join with that key, or have the operator revoke it first",
            ));
        }
        Err(error) => return Err(store_failed(error)),
    };
    changed(ctx).await?;
    let credentials = members(ctx)?.credentials(&member).map_err(not_issued)?;
    let (jwt, renewal_jwt) = credentials.map_or((None, None), |credentials| {
        (Some(credentials.jwt), Some(credentials.renewal_jwt))
    });
    tracing::info!(account_id = %member.account_id, username = %member.username, "enrolled");
    Ok(EnrollReply {
        status: EnrollReply::ENROLLED.to_owned(),
        account_id: member.account_id,
        username: member.username,
        role: member.role,
        capabilities: member.capabilities,
        urls: Vec::new(),
        jwt,
        renewal_jwt,
    }
    .encode())
}

/// The credentials of the caller, by what it may do now. The store is asked, and not what is known of it: a credential that is made
/// after a change must not allow what was taken. (Which credentials are void may be known late: then this one is void too, and the
/// caller asks again.)
pub(super) async fn renew(ctx: &Arc<Context>, _request: RenewRequest, call: &Call) -> Result<String, RpcError> {
    let members = members(ctx)?;
    let caller = call.caller.as_deref().unwrap_or_default();
    let member = ctx.store.member(caller).await.map_err(store_failed)?;
    let member = member.filter(|member| member.state == MemberState::Active);
    let member = member.ok_or_else(|| forbidden("only active members get a credential"))?;
    let credentials = members.credentials(&member).map_err(not_issued)?;
    tracing::debug!(account_id = %member.account_id, "credential renewed");
    let mut reply = RenewReply {
        account_id: member.account_id,
        ..RenewReply::default()
    };
    if let Some(credentials) = credentials {
        reply.expires_at = Some(credentials.expires_at.to_string());
        (reply.jwt, reply.renewal_jwt) = (Some(credentials.jwt), Some(credentials.renewal_jwt));
    }
    Ok(reply.encode())
}

/// The members, by account id.
pub(super) async fn list(ctx: &Arc<Context>, request: MemberListRequest, call: &Call) -> Result<String, RpcError> {
    members(ctx)?;
    if !call.reads_everything(ctx) {
        return Err(forbidden("only operators and observers may list members"));
    }
    let query = MemberQuery {
        state: None,
        after_account_id: request.cursor,
        limit: request.limit,
    };
    let page = ctx.store.members(&query).await.map_err(store_failed)?;
    let next_cursor = page.more.then(|| page.items.last().map(|last| last.account_id.clone()));
    Ok(MemberListReply {
        members: page.items.into_iter().map(record).collect(),
        next_cursor: next_cursor.flatten(),
        generated_at: now_text(),
    }
    .encode())
}

/// Ends a membership.
pub(super) async fn revoke(ctx: &Arc<Context>, request: MemberRevokeRequest, call: &Call) -> Result<String, RpcError> {
    call.check_operator(ctx)?;
    let member = find(ctx, request.account_id, request.username).await?;
    if call.caller.as_deref() == Some(&member.account_id) {
        return Err(refused(
            "forbidden",
            "an operator cannot revoke itself; another operator can",
        ));
    }
    let now = Now::read().time;
    let revoked = ctx.store.revoke_member(&member.account_id, now).await;
    let revoked = revoked.map_err(store_failed)?.ok_or(RpcError::NOT_FOUND)?;
    changed(ctx).await?;
    members(ctx)?.broker().cut_off(&revoked.account_id).await;
    for session in ctx.presence.sessions_of(&revoked.account_id) {
        ctx.presence.goodbye(&session.session_tag, Now::read());
    }
    ctx.flush.notify();
    ctx.peer_events.key_rotated(&revoked.account_id).await;
    tracing::info!(account_id = %revoked.account_id, username = %revoked.username, by = call.caller.as_deref(), "revoked");
    Ok(reply(revoked))
}

/// Changes what a member may do.
pub(super) async fn grant(ctx: &Arc<Context>, request: MemberGrantRequest, call: &Call) -> Result<String, RpcError> {
    call.check_operator(ctx)?;
    let member = find(ctx, request.account_id.clone(), request.username.clone()).await?;
    let change = change_of(request);
    check_change(ctx, &member, &change)?;
    let granted = ctx.store.grant_member(&member.account_id, &change).await;
    let granted = granted.map_err(store_failed)?.ok_or(RpcError::NOT_FOUND)?;
    changed(ctx).await?;
    let broker = members(ctx)?.broker();
    if change.void.is_some() && broker.cuts_off() {
        broker.cut_off(&granted.account_id).await;
    } else if broker.grants_at_connect() {
        announce_grant(ctx, &granted.account_id).await;
    }
    tracing::info!(account_id = %granted.account_id, username = %granted.username, by = call.caller.as_deref(), "granted");
    Ok(reply(granted))
}

fn change_of(request: MemberGrantRequest) -> MemberGrant {
    let takes = !request.capabilities_remove.is_empty() || matches!(request.may_send_to, SendPolicy::Only(_));
    let now = Now::read().time;
    MemberGrant {
        capabilities_add: request.capabilities_add,
        capabilities_remove: request.capabilities_remove,
        may_send_to: match request.may_send_to {
            SendPolicy::Keep => AllowedReceivers::Unchanged,
            SendPolicy::Everybody => AllowedReceivers::All,
            SendPolicy::Only(targets) => AllowedReceivers::Only(targets),
        },
        void: takes.then(|| Void {
            issued_until: now.saturating_add_millis(CLOCK_SKEW_MILLIS),
            at: now,
        }),
    }
}

/// Refuses a change that cannot be stored or made a credential of.
fn check_change(ctx: &Context, member: &Member, change: &MemberGrant) -> Result<(), RpcError> {
    let added = change.capabilities_add.iter();
    let added = added.filter(|name| !member.capabilities.contains(name));
    let held = member.capabilities.iter().chain(added);
    let held = held.filter(|name| !change.capabilities_remove.contains(name));
    let capabilities: Vec<String> = held.cloned().collect();
    let grant = Grant {
        role: member.role.parse().map_err(|_| RpcError::NOT_FOUND)?,
        account_id: &member.account_id,
        capabilities: &capabilities,
        may_send_to: match &change.may_send_to {
            AllowedReceivers::Unchanged => member.may_send_to.as_deref(),
            AllowedReceivers::All => None,
            AllowedReceivers::Only(targets) => Some(targets),
        },
    };
    check_grant(members(ctx)?, &grant)
}

/// Tells a member that it may do something else when it connects again.
async fn announce_grant(ctx: &Context, account_id: &str) {
    let event = CredentialEvent {
        account_id: account_id.to_owned(),
        kind: CredentialEvent::GRANTED.to_owned(),
    };
    let subject = credential_events(account_id);
    if let Err(error) = ctx.client.publish(subject, event.encode().into()).await {
        tracing::debug!(%error, "a member could not be told of its grant");
    }
}

/// The member that a request names; the id takes precedence.
async fn find(ctx: &Context, account_id: Option<String>, name: Option<String>) -> Result<Member, RpcError> {
    let found = match (account_id, name) {
        (Some(account_id), _) => ctx.store.member(&account_id).await,
        (None, Some(name)) => ctx.store.member_by_username(&username::normalise(&name)).await,
        (None, None) => return Err(RpcError::new("account_id or username is required")),
    };
    found.map_err(store_failed)?.ok_or(RpcError::NOT_FOUND)
}

fn store_failed(error: StoreError) -> RpcError {
    match error {
        StoreError::TooLarge(why) => RpcError::with_text(why.to_string()),
        error => failed(STORE_FAILED)(error),
    }
}

fn reply(member: Member) -> String {
    MemberReply {
        member: record(member),
        generated_at: now_text(),
    }
    .encode()
}

fn record(member: Member) -> MemberRecord {
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    MemberRecord {
        account_id: member.account_id,
        username: member.username,
        role: member.role,
        state: member.state.as_str().to_owned(),
        capabilities: member.capabilities,
        may_send_to: member.may_send_to,
        created_at: member.created_at.to_string(),
        enrolled_at: text(member.enrolled_at),
        revoked_at: text(member.revoked_at),
        nkey: member.nkey,
    }
}

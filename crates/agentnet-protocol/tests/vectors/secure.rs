//! The secure mode: keys, subjects with an issuer, permissions, invites and enrolments (section 23).

use agentnet_protocol::invite::{EnrolmentError, Invite, InviteError, check_enrolment, enrol_proof, enrolment};
use agentnet_protocol::nkey::{self, Nkey};
use agentnet_protocol::permissions::{Grant, PermissionError, permissions};
use agentnet_protocol::rpc::{EnrollRequest, Request as _, decode_request};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::subject::{self, Subject};
use agentnet_protocol::{Timestamp, hex};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::loader::{Case, check_each};

fn array<const LENGTH: usize>(case: &Case<'_>, member: &str) -> [u8; LENGTH] {
    let bytes = hex::decode(case.text(member)).expect("the case has hexadecimal digits");
    bytes.try_into().expect("the case has the right number of bytes")
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    let text = |item: &Value| item.as_str().expect("the items are texts").to_owned();
    Some(items.iter().map(text).collect())
}

#[test]
fn nkeys() {
    check_each("nkeys", |case| {
        if case.has("public") {
            assert_eq!(Some(nkey::is_public(case.text("public"))), case.get("usable").as_bool());
        } else if case.has("nonce_text") {
            let text = case.text("nonce_text");
            assert_eq!(Some(nkey::is_nonce(text)), case.get("is_nonce").as_bool());
        } else {
            let identity = array(&case, "identity_seed");
            assert_eq!(hex::encode(&nkey::nkey_seed(&identity)), case.text("nkey_seed"));
            assert_eq!(hex::encode(&nkey::message_seed(&identity)), case.text("message_seed"));
            let nkey = Nkey::of_identity(&identity);
            assert_eq!(nkey.public(), case.text("nkey"));
            assert!(nkey::is_public(&nkey.public()));
            let key = SigningKey::from_seed(&nkey::message_seed(&identity));
            assert_eq!(key.public_text(), case.text("public_key"));
            let signature = nkey.sign(case.text("nonce").as_bytes());
            assert_eq!(URL_SAFE_NO_PAD.encode(signature), case.text("signature"));
        }
    });
}

#[test]
fn issuer_subjects() {
    check_each("issuer_subjects", |case| {
        if case.has("base") {
            let (base, issuer) = (case.text("base"), case.text("issuer"));
            let issued = subject::issued(base, issuer);
            assert_eq!(issued, case.text("issued"));
            assert_eq!(subject::split_issuer(&issued), Some((base, issuer)));
        } else if case.has("request_reply") {
            let may_reply = subject::may_reply_to_requester(case.text("request_reply"), case.text("issuer"));
            assert_eq!(Some(may_reply), case.get("may_reply").as_bool());
        } else if case.has("reply") {
            let (reply, issuer) = (case.text("reply"), case.text("issuer"));
            let expected = case.get("may_reply").as_bool();
            assert_eq!(Some(subject::may_reply_to_issuer(reply, issuer)), expected);
            // The same rule below another prefix.
            let joining = reply.replacen("_AGENTNET.", "_INBOX_join.", 1);
            assert_eq!(Some(subject::may_reply_to_invite(&joining, issuer)), expected);
        } else {
            let text = case.text("subject");
            let split = subject::split_issuer(text).map(|(before, issuer)| json!([before, issuer]));
            assert_eq!(&split.unwrap_or_default(), case.get("split"));
            assert_eq!(&parsed(text), case.get("parsed"));
        }
    });
}

fn parsed(text: &str) -> Value {
    let (kind, name, issuer) = match Subject::parse(text) {
        None => return Value::Null,
        Some(Subject::Inbox { account_id, issuer }) => ("inbox", Some(account_id), issuer),
        Some(Subject::Receipts { account_id, issuer }) => ("receipts", Some(account_id), issuer),
        Some(Subject::Mailbox { account_id, issuer }) => ("mailbox", Some(account_id), Some(issuer)),
        Some(Subject::Control { account_id, issuer }) => ("control", Some(account_id), Some(issuer)),
        Some(Subject::Capability { capability, issuer }) => ("capability", Some(capability), issuer),
        Some(Subject::Registry { name, issuer }) => ("registry", Some(name), issuer),
        Some(Subject::Reply) => ("reply", None, None),
    };
    json!({"kind": kind, "name": name, "issuer": issuer})
}

#[test]
fn permissions_by_role() {
    check_each("permissions", |case| {
        let capabilities = texts(case.get("capabilities")).expect("the case has capabilities");
        let may_send_to = texts(case.get("may_send_to"));
        let grant = Grant {
            role: case.text("role").parse().expect("the case has a role"),
            account_id: case.text("account_id"),
            capabilities: &capabilities,
            may_send_to: may_send_to.as_deref(),
        };
        match (permissions(&grant), case.opt_text("error")) {
            (Ok(lists), None) => {
                assert_eq!(Some(lists.publish), texts(case.get("publish")));
                assert_eq!(Some(lists.subscribe), texts(case.get("subscribe")));
            }
            (Err(error), Some(expected)) => {
                assert_eq!(permission_error(&error), expected);
                assert!(!error.to_string().contains(char::is_control), "{error:?}");
            }
            (other, expected) => panic!("expected {expected:?}, got {other:?}"),
        }
    });
}

fn permission_error(error: &PermissionError) -> &'static str {
    match error {
        PermissionError::AccountId(_) => "account_id",
        PermissionError::RegistryAccountId(_) => "registry_account_id",
        PermissionError::Capability(_) => "capability",
        PermissionError::TooManyCapabilities(_) => "too_many_capabilities",
        other => panic!("{other}"),
    }
}

#[test]
fn invites() {
    check_each("invites", |case| {
        if case.has("request") {
            return check_enrolment_case(&case);
        }
        match (Invite::decode(case.text("text")), case.opt_text("error")) {
            (Ok(invite), None) => {
                assert_eq!(invite.encode(), case.text("reencoded"));
                assert_eq!(&shown(&invite, case.get("invite")), case.get("invite"));
            }
            (Err(error), Some(expected)) => assert_eq!(invite_error(&error), expected),
            (other, expected) => panic!("expected {expected:?}, got {other:?}"),
        }
    });
}

/// The invite as the case shows it; the time in the case's own spelling if it is the same.
fn shown(invite: &Invite, expected: &Value) -> Value {
    let spelled = expected["expires_at"].as_str().unwrap_or_default();
    let expires_at = match Timestamp::parse(spelled) == Some(invite.expires_at) {
        true => spelled.to_owned(),
        false => invite.expires_at.to_string(),
    };
    json!({
        "urls": invite.urls,
        "ca_pem": invite.ca_pem,
        "account_id": invite.account_id,
        "username": invite.username,
        "role": invite.role.as_str(),
        "invite_id": invite.invite_id,
        "secret": URL_SAFE_NO_PAD.encode(invite.secret),
        "join_seed": URL_SAFE_NO_PAD.encode(invite.join_seed),
        "expires_at": expires_at,
    })
}

fn invite_error(error: &InviteError) -> String {
    match error {
        InviteError::NotAnInvite => "not_an_invite".to_owned(),
        InviteError::Version => "version".to_owned(),
        InviteError::TooLong(_) => "too_long".to_owned(),
        InviteError::Base64 => "base64".to_owned(),
        InviteError::Damaged => "damaged".to_owned(),
        InviteError::Member(member) => format!("member:{member}"),
        other => panic!("{other}"),
    }
}

fn check_enrolment_case(case: &Case<'_>) {
    let (invite_id, account_id) = (case.text("invite_id"), case.text("account_id"));
    let secret = array(case, "secret");
    let request = decode_request::<EnrollRequest>(case.text("request").as_bytes()).expect("the request is readable");
    let error = check_enrolment(&request, invite_id, account_id, &secret).err();
    let expected = match case.opt_text("error") {
        None => None,
        Some("invite") => Some(EnrolmentError::Invite),
        Some("nkey") => Some(EnrolmentError::Nkey),
        Some("public_key") => Some(EnrolmentError::PublicKey),
        Some("proof") => Some(EnrolmentError::Proof),
        Some("signature") => Some(EnrolmentError::Signature),
        Some(other) => panic!("no such error: {other}"),
    };
    assert_eq!(error, expected);
    if expected.is_some() {
        return;
    }
    let proof = enrol_proof(&secret, invite_id, account_id, &request.nkey, &request.public_key);
    assert_eq!(proof, request.proof);
    let invite = Invite {
        urls: Vec::new(),
        ca_pem: None,
        account_id: account_id.to_owned(),
        username: "bob".to_owned(),
        role: "agent".parse().expect("a role"),
        invite_id: invite_id.to_owned(),
        secret,
        join_seed: [0; 32],
        join_jwt: None,
        expires_at: Timestamp::MAX,
    };
    let made = enrolment(&invite, &array(case, "identity_seed"));
    assert_eq!(made, request);
    assert_eq!(made.encode(), case.text("request"));
}

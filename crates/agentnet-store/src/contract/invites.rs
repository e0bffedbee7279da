//! The use of invites: what `Members::use_invite` says.

use std::sync::Arc;

use agentnet_protocol::signing_scope::SigningScope;
use tokio::task::JoinSet;

use super::claims::with_key;
use super::sample::{any_member, at, enrol, invited, requested};
use crate::StoreError;
use crate::model::{AccountClaim, Enrolled, InviteRefusal, MemberQuery, MemberState};
use crate::store::Store;

/// An invite gives a credential and binds the message key, once.
pub async fn an_invite_is_used_once(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    let enrolled = store
        .use_invite("inv_1", "acct_new_alice", "nkey_a", "key_a", at(5))
        .await;
    let Enrolled::Enrolled(member) = enrolled.unwrap() else {
        panic!("the invite is valid");
    };
    assert_eq!(
        (member.state, member.nkey.as_deref(), member.enrolled_at),
        (MemberState::Active, Some("nkey_a"), Some(at(5)))
    );
    assert_eq!(store.member("acct_new_alice").await.unwrap(), Some(member));
    let account = store.account_by_id("acct_new_alice").await.unwrap().unwrap();
    assert_eq!(
        (account.public_key.as_deref(), account.updated_at),
        (Some("key_a"), at(5))
    );
    let invite = store.invite("inv_1").await.unwrap().unwrap();
    assert_eq!(invite.used_at, Some(at(5)));
    assert!(store.live_invites(at(5)).await.unwrap().is_empty());

    // Also not by the same member with the same keys.
    for nkey in ["nkey_a", "nkey_b"] {
        let again = store.use_invite("inv_1", "acct_new_alice", nkey, "key_a", at(6)).await;
        assert_eq!(again.unwrap(), Enrolled::Invalid(InviteRefusal::Used));
    }
    assert_eq!(store.invite("inv_1").await.unwrap(), Some(invite));
}

/// Of many that use one invite at once, each with keys of its own, one succeeds, and its keys are the member's.
pub async fn concurrent_uses_of_an_invite_enrol_one(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (nkey, key) = (format!("nkey_{index}"), format!("key_{index}"));
            let enrolled = store.use_invite("inv_1", "acct_new_alice", &nkey, &key, at(1)).await;
            (index, enrolled.unwrap())
        });
    }
    let mut winner = None;
    for (index, enrolled) in tasks.join_all().await {
        match enrolled {
            Enrolled::Enrolled(_) => assert_eq!(winner.replace(index), None),
            Enrolled::Invalid(refusal) => assert_eq!(refusal, InviteRefusal::Used),
        }
    }
    let winner = winner.unwrap();
    let member = store.member("acct_new_alice").await.unwrap().unwrap();
    assert_eq!(member.nkey, Some(format!("nkey_{winner}")));
    let account = store.account_by_id("acct_new_alice").await.unwrap().unwrap();
    assert_eq!(account.public_key, Some(format!("key_{winner}")));
}

/// One nkey is of one member: of many that enrol with it at once, with invites of their own, one succeeds.
pub async fn concurrent_enrolments_share_no_nkey(store: Arc<dyn Store>) {
    for index in 0..10 {
        invited(&*store, &format!("agent{index}"), &format!("inv_{index}")).await;
    }
    let mut tasks = JoinSet::new();
    for index in 0..10 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (invite, account) = (format!("inv_{index}"), format!("acct_new_agent{index}"));
            let enrolled = store.use_invite(&invite, &account, "nkey", "key", at(1)).await;
            enrolled.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let refused = outcomes
        .iter()
        .filter(|enrolled| **enrolled == Enrolled::Invalid(InviteRefusal::NkeyTaken));
    assert_eq!(refused.count(), 9, "{outcomes:?}");
    let active = MemberQuery {
        state: Some(MemberState::Active),
        ..any_member()
    };
    assert_eq!(store.members(&active).await.unwrap().items.len(), 1);
    assert_eq!(store.live_invites(at(1)).await.unwrap().len(), 9);
}

/// An invite that does not fit changes nothing, and can still be used as it should be.
pub async fn an_invite_that_does_not_fit_changes_nothing(store: Arc<dyn Store>) {
    let alice = invited(&*store, "alice", "inv_1").await;
    invited(&*store, "bob", "inv_2").await;
    enrol(&*store, "inv_2", "acct_new_bob", "nkey_b").await;
    invited(&*store, "carol", "inv_3").await;
    for (invite, account, nkey, seconds, expected) in [
        ("inv_x", "acct_new_alice", "nkey_a", 1, InviteRefusal::Unknown),
        ("INV_1", "acct_new_alice", "nkey_a", 1, InviteRefusal::Unknown),
        ("inv_1", "acct_new_carol", "nkey_a", 1, InviteRefusal::OtherAccount),
        ("inv_1", "acct_new_bob", "nkey_a", 1, InviteRefusal::OtherAccount),
        ("inv_1", "acct_x", "nkey_a", 1, InviteRefusal::OtherAccount),
        ("inv_1", "acct_new_alice", "nkey_a", 100, InviteRefusal::Expired),
        ("inv_1", "acct_new_alice", "nkey_a", 101, InviteRefusal::Expired),
        ("inv_1", "acct_new_alice", "nkey_b", 1, InviteRefusal::NkeyTaken),
    ] {
        let enrolled = store.use_invite(invite, account, nkey, "key_a", at(seconds)).await;
        assert_eq!(
            enrolled.unwrap(),
            Enrolled::Invalid(expected),
            "{invite} {account} {nkey}"
        );
        assert_eq!(store.member("acct_new_alice").await.unwrap().as_ref(), Some(&alice));
        let account = store.account_by_id("acct_new_alice").await.unwrap().unwrap();
        assert_eq!(account.public_key, None);
    }
    let live = store.live_invites(at(99)).await.unwrap();
    let live: Vec<_> = live.iter().map(|invite| invite.invite_id.as_str()).collect();
    assert_eq!(live, ["inv_1", "inv_3"]);
    assert!(store.live_invites(at(100)).await.unwrap().is_empty());
    // The key of a member that was revoked is its own too.
    store.revoke_member("acct_new_bob", at(2)).await.unwrap();
    let enrolled = store
        .use_invite("inv_1", "acct_new_alice", "nkey_b", "key_a", at(3))
        .await;
    assert_eq!(enrolled.unwrap(), Enrolled::Invalid(InviteRefusal::NkeyTaken));
    let enrolled = store
        .use_invite("inv_1", "acct_new_alice", "nkey_a", "key_a", at(99))
        .await;
    assert!(matches!(enrolled, Ok(Enrolled::Enrolled(_))), "{enrolled:?}");
}

/// An account from before keeps what it is. It is bound to the key of the enrolment only if it has none, or that one.
pub async fn an_account_keeps_its_key_when_it_enrols(store: Arc<dyn Store>) {
    let claim = AccountClaim {
        signs: SigningScope::ALL,
        ..with_key("key_a", requested("alice"))
    };
    let alice = store.claim_account(&claim).await.unwrap();
    let member = invited(&*store, "alice", "inv_1").await;
    assert_eq!(member.account_id, alice.account_id);
    assert_eq!(store.account_by_username("alice").await.unwrap().as_ref(), Some(&alice));
    let other = store
        .use_invite("inv_1", &alice.account_id, "nkey_a", "key_b", at(1))
        .await;
    assert!(matches!(other, Err(StoreError::KeyMismatch)), "{other:?}");
    assert_eq!(store.account_by_username("alice").await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.member(&alice.account_id).await.unwrap(), Some(member));
    assert_eq!(store.live_invites(at(1)).await.unwrap().len(), 1);

    let same = store
        .use_invite("inv_1", &alice.account_id, "nkey_a", "key_a", at(1))
        .await;
    assert!(matches!(same, Ok(Enrolled::Enrolled(_))), "{same:?}");
    let enrolled = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(
        (enrolled.public_key.as_deref(), enrolled.signs, enrolled.display_name),
        (Some("key_a"), SigningScope::ALL, alice.display_name)
    );

    // A member that lost its keys is revoked, and comes back with others.
    store.revoke_member(&alice.account_id, at(2)).await.unwrap();
    let revoked = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!((revoked.public_key, revoked.signs), (None, SigningScope::default()));
    invited(&*store, "alice", "inv_2").await;
    let back = store
        .use_invite("inv_2", &alice.account_id, "nkey_c", "key_c", at(3))
        .await;
    assert!(matches!(back, Ok(Enrolled::Enrolled(_))), "{back:?}");
    let account = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(account.public_key.as_deref(), Some("key_c"));

    store.claim_account(&requested("bob")).await.unwrap();
    invited(&*store, "bob", "inv_3").await;
    enrol(&*store, "inv_3", "acct_new_bob", "nkey_b").await;
    let account = store.account_by_username("bob").await.unwrap().unwrap();
    assert_eq!(account.public_key.as_deref(), Some("key of nkey_b"));
}

/// A member that is revoked while it enrols ends revoked, without a key.
pub async fn a_member_that_is_revoked_while_it_enrols_is_revoked(store: Arc<dyn Store>) {
    for round in 0..5 {
        let (name, invite) = (format!("agent{round}"), format!("inv_{round}"));
        let account = invited(&*store, &name, &invite).await.account_id;
        let enrolling = store.use_invite(&invite, &account, &name, "key", at(1));
        let (enrolled, revoked) = tokio::join!(enrolling, store.revoke_member(&account, at(1)));
        enrolled.unwrap();
        revoked.unwrap();
        let member = store.member(&account).await.unwrap().unwrap();
        assert_eq!(member.state, MemberState::Revoked);
        let account = store.account_by_id(&account).await.unwrap().unwrap();
        assert_eq!(account.public_key, None);
        assert!(store.live_invites(at(0)).await.unwrap().is_empty());
    }
}

/// Expired invites are deleted, used ones when they would have expired.
pub async fn expired_invites_are_pruned(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    invited(&*store, "bob", "inv_2").await;
    enrol(&*store, "inv_2", "acct_new_bob", "nkey_b").await;
    assert_eq!(store.prune_invites(at(100)).await.unwrap(), 0);
    assert_eq!(store.prune_invites(at(101)).await.unwrap(), 2);
    assert_eq!(store.invite("inv_1").await.unwrap(), None);
    let late = store
        .use_invite("inv_2", "acct_new_bob", "nkey_c", "key", at(102))
        .await;
    assert_eq!(late.unwrap(), Enrolled::Invalid(InviteRefusal::Unknown));
}

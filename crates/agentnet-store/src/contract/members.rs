//! Members and what they may do: what `Members` says, without the use of invites.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::claims::with_id;
use super::sample::{any_member, at, enrol, invite_to, invited, new_invite, new_member, requested, texts};
use agentnet_protocol::Timestamp;

use crate::StoreError;
use crate::model::{AllowedReceivers, Invite, Invited, Member, MemberGrant, MemberQuery, MemberState, NewMember, Void};
use crate::store::Store;

async fn ids(store: &dyn Store, query: &MemberQuery) -> Vec<String> {
    let page = store.members(query).await.unwrap();
    page.items.into_iter().map(|member| member.account_id).collect()
}

/// The account is created without a key, its name is taken, and the invite is there.
pub async fn an_invited_account_is_a_member(store: Arc<dyn Store>) {
    let new = NewMember {
        role: "observer".into(),
        capabilities: texts(&["sum", "chat"]),
        may_send_to: Some(texts(&["acct_b"])),
        ..new_member("alice")
    };
    let member = invite_to(&*store, &new, "inv_1").await;
    let expected = Member {
        account_id: "acct_new_alice".into(),
        username: "alice".into(),
        role: "observer".into(),
        state: MemberState::Invited,
        nkey: None,
        capabilities: texts(&["sum", "chat"]),
        may_send_to: Some(texts(&["acct_b"])),
        created_at: at(0),
        enrolled_at: None,
        revoked_at: None,
    };
    assert_eq!(member, expected);
    assert_eq!(store.member("acct_new_alice").await.unwrap().as_ref(), Some(&expected));
    assert_eq!(store.member_by_username("alice").await.unwrap(), Some(expected));
    let account = store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(
        (account.account_id.as_str(), account.public_key),
        ("acct_new_alice", None)
    );
    let stored = Invite {
        invite_id: "inv_1".into(),
        account_id: "acct_new_alice".into(),
        secret: vec![0, 1, 255],
        join_nkey: "join key of inv_1".into(),
        expires_at: at(100),
        used_at: None,
    };
    assert!(!format!("{stored:?}").contains("255"), "no secret in a log");
    assert_eq!(store.invite("inv_1").await.unwrap().as_ref(), Some(&stored));
    assert_eq!(store.live_invites(at(99)).await.unwrap(), [stored]);

    assert_eq!(store.member("acct_x").await.unwrap(), None);
    assert_eq!(store.member_by_username("bob").await.unwrap(), None);
    assert_eq!(store.invite("inv_2").await.unwrap(), None);
}

/// A member that has not enrolled gets other rights, and one invite; an active one is taken.
pub async fn a_later_invite_replaces_an_earlier_one(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    let later = NewMember {
        new_account_id: "acct_other".into(),
        role: "operator".into(),
        at: at(5),
        ..new_member("alice")
    };
    let member = invite_to(&*store, &later, "inv_2").await;
    assert_eq!(
        (member.account_id.as_str(), member.role.as_str(), member.created_at),
        ("acct_new_alice", "operator", at(0))
    );
    assert_eq!(store.invite("inv_1").await.unwrap(), None);
    enrol(&*store, "inv_2", "acct_new_alice", "nkey_a").await;
    let taken = store.invite_member(&later, &new_invite("inv_3")).await.unwrap();
    assert_eq!(taken, Invited::Taken);
    // The id of another account.
    let other = NewMember {
        new_account_id: "acct_new_alice".into(),
        ..new_member("bob")
    };
    let taken = store.invite_member(&other, &new_invite("inv_3")).await.unwrap();
    assert_eq!(taken, Invited::Taken);
    assert_eq!(store.invite("inv_3").await.unwrap(), None);
    assert_eq!(store.account_by_username("bob").await.unwrap(), None);

    let long = NewMember {
        username: "n".repeat(257),
        ..new_member("n")
    };
    let refused = store.invite_member(&long, &new_invite("inv_3")).await;
    assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{refused:?}");
}

/// Many invitations of one name at once make one account with one invite.
pub async fn concurrent_invitations_make_one_member(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for index in 0..10 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let new = NewMember {
                new_account_id: format!("acct_{index}"),
                ..new_member("alice")
            };
            invite_to(&*store, &new, &format!("inv_{index}")).await.account_id
        });
    }
    let mut accounts = tasks.join_all().await;
    accounts.dedup();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    assert_eq!(ids(&*store, &any_member()).await, accounts);
    assert_eq!(store.live_invites(at(0)).await.unwrap().len(), 1);
}

/// No key, no invite, no way back but another invite; its nkey stays its own.
pub async fn a_revoked_member_has_no_key(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    enrol(&*store, "inv_1", "acct_new_alice", "nkey_a").await;
    let revoked = store.revoke_member("acct_new_alice", at(7)).await.unwrap().unwrap();
    assert_eq!(
        (revoked.state, revoked.nkey.as_deref(), revoked.revoked_at),
        (MemberState::Revoked, Some("nkey_a"), Some(at(7)))
    );
    assert_eq!(store.member("acct_new_alice").await.unwrap().as_ref(), Some(&revoked));
    let account = store.account_by_id("acct_new_alice").await.unwrap().unwrap();
    assert_eq!(account.public_key, None);
    let again = store.revoke_member("acct_new_alice", at(8)).await.unwrap();
    assert_eq!(again.as_ref(), Some(&revoked));
    let grant = MemberGrant {
        capabilities_add: texts(&["sum"]),
        ..MemberGrant::default()
    };
    let granted = store.grant_member("acct_new_alice", &grant).await.unwrap();
    assert_eq!(granted, Some(revoked));

    // One that has not enrolled yet cannot any more.
    invited(&*store, "bob", "inv_2").await;
    store.revoke_member("acct_new_bob", at(8)).await.unwrap();
    assert_eq!(store.invite("inv_2").await.unwrap(), None);
    assert!(store.live_invites(at(0)).await.unwrap().is_empty());
    assert_eq!(store.revoke_member("acct_x", at(8)).await.unwrap(), None);

    let back = invited(&*store, "alice", "inv_3").await;
    assert_eq!(
        (back.state, back.nkey, back.revoked_at),
        (MemberState::Invited, None, None)
    );
    enrol(&*store, "inv_3", "acct_new_alice", "nkey_a").await;
}

/// Capabilities are added and removed; receivers are replaced.
pub async fn rights_are_granted_and_taken(store: Arc<dyn Store>) {
    let new = NewMember {
        capabilities: texts(&["sum", "chat"]),
        ..new_member("alice")
    };
    invite_to(&*store, &new, "inv_1").await;
    for (add, remove, may_send_to, capabilities, receivers) in [
        (
            &["ask", "sum"][..],
            &["chat", "none"][..],
            AllowedReceivers::Unchanged,
            &["sum", "ask"][..],
            None,
        ),
        (
            &[],
            &[],
            AllowedReceivers::Only(texts(&["acct_b"])),
            &["sum", "ask"],
            Some(texts(&["acct_b"])),
        ),
        (
            &["x"],
            &["x"],
            AllowedReceivers::Unchanged,
            &["sum", "ask"],
            Some(texts(&["acct_b"])),
        ),
        (
            &[],
            &["sum", "ask"],
            AllowedReceivers::Only(Vec::new()),
            &[],
            Some(Vec::new()),
        ),
        (&[], &[], AllowedReceivers::All, &[], None),
    ] {
        let grant = MemberGrant {
            capabilities_add: texts(add),
            capabilities_remove: texts(remove),
            may_send_to,
            void: None,
        };
        let member = store.grant_member("acct_new_alice", &grant).await.unwrap().unwrap();
        assert_eq!(
            (&member.capabilities, &member.may_send_to),
            (&texts(capabilities), &receivers),
            "{grant:?}"
        );
        assert_eq!(store.member("acct_new_alice").await.unwrap(), Some(member));
    }
    let many = MemberGrant {
        capabilities_add: (0..65).map(|index| format!("c{index}")).collect(),
        ..MemberGrant::default()
    };
    let refused = store.grant_member("acct_new_alice", &many).await;
    assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{refused:?}");
    let none = store.grant_member("acct_x", &MemberGrant::default()).await.unwrap();
    assert_eq!(none, None);
}

/// By account id, in pages, of one state or all. Accounts that are no members are not among them.
pub async fn members_are_paged_by_account(store: Arc<dyn Store>) {
    store.claim_account(&requested("stranger")).await.unwrap();
    let names = ["b", "Z", "a", "z", "ä"];
    for name in names {
        invited(&*store, name, &format!("inv_{name}")).await;
    }
    enrol(&*store, "inv_a", "acct_new_a", "nkey_a").await;
    store.revoke_member("acct_new_z", at(1)).await.unwrap();
    let all = ["acct_new_Z", "acct_new_a", "acct_new_b", "acct_new_z", "acct_new_ä"];
    for limit in 1..=6 {
        let mut query = MemberQuery { limit, ..any_member() };
        let mut walked = Vec::new();
        loop {
            let page = store.members(&query).await.unwrap();
            walked.extend(page.items.into_iter().map(|member| member.account_id));
            if !page.more {
                break;
            }
            query.after_account_id = walked.last().cloned();
        }
        assert_eq!(walked, all, "{limit}");
    }
    for (state, expected) in [
        (MemberState::Active, &["acct_new_a"][..]),
        (MemberState::Revoked, &["acct_new_z"]),
        (MemberState::Invited, &["acct_new_Z", "acct_new_b", "acct_new_ä"]),
    ] {
        let query = MemberQuery {
            state: Some(state),
            ..any_member()
        };
        assert_eq!(ids(&*store, &query).await, expected);
    }
}

/// A member is found by the name that its account has now.
pub async fn a_member_goes_by_the_name_of_its_account(store: Arc<dyn Store>) {
    invited(&*store, "alice", "inv_1").await;
    let renamed = with_id("acct_new_alice", requested("anna"));
    store.claim_account(&renamed).await.unwrap();
    assert_eq!(store.member_by_username("alice").await.unwrap(), None);
    let member = store.member_by_username("anna").await.unwrap().unwrap();
    assert_eq!(
        (member.account_id.as_str(), member.username.as_str()),
        ("acct_new_alice", "anna")
    );
    // The old name is free.
    let other = NewMember {
        new_account_id: "acct_2".into(),
        ..new_member("alice")
    };
    assert_eq!(invite_to(&*store, &other, "inv_2").await.account_id, "acct_2");
}

/// Credentials are void from the revocation on, for good; after a grant that takes rights, those that were issued before. A later
/// time replaces an earlier one.
pub async fn credentials_of_revoked_and_limited_members_are_void(store: Arc<dyn Store>) {
    for (name, invite, nkey) in [("alice", "inv_1", "nkey_a"), ("bob", "inv_2", "nkey_b")] {
        invited(&*store, name, invite).await;
        enrol(&*store, invite, &format!("acct_new_{name}"), nkey).await;
    }
    invited(&*store, "carol", "inv_3").await;
    assert!(store.voided_nkeys().await.unwrap().is_empty());
    let limit = async |account_id: &str, until: Option<i64>| {
        let void = until.map(|until| Void {
            issued_until: at(until),
            at: at(50),
        });
        let grant = MemberGrant {
            void,
            ..MemberGrant::default()
        };
        store.grant_member(account_id, &grant).await.unwrap().unwrap();
    };
    limit("acct_new_bob", None).await;
    limit("acct_new_bob", Some(60)).await;
    limit("acct_new_bob", Some(55)).await;
    // It has no credential yet.
    limit("acct_new_carol", Some(60)).await;
    store.revoke_member("acct_new_carol", at(51)).await.unwrap();
    store.revoke_member("acct_new_alice", at(51)).await.unwrap();
    let voided = store.voided_nkeys().await.unwrap();
    let voided: Vec<(&str, Timestamp)> = voided
        .iter()
        .map(|void| (void.nkey.as_str(), void.issued_until))
        .collect();
    let forever = Void::all(at(0)).issued_until;
    assert_eq!(voided, [("nkey_a", forever), ("nkey_b", at(60))]);
    assert_eq!(forever.to_string(), "2100-01-01T00:00:00Z");
    // A member that is invited again gets another key; the old one stays void.
    invited(&*store, "alice", "inv_4").await;
    assert_eq!(store.voided_nkeys().await.unwrap().len(), 2);
    assert_eq!(store.prune_voided_nkeys(at(50)).await.unwrap(), 0);
    assert_eq!(store.prune_voided_nkeys(at(51)).await.unwrap(), 1);
    assert_eq!(store.voided_nkeys().await.unwrap()[0].nkey, "nkey_a");
}

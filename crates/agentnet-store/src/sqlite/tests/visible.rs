//! Plans of the queries for what one account may see, and of those about members.

use super::{plan, walks_in_order};
use crate::OpenOptions;
use crate::contract::sample::{any_member, any_message, any_thread, at};
use crate::model::{MemberQuery, MessageQuery, Position, ThreadQuery};
use crate::sqlite::{DatabaseLocation, SqliteStore, members, messages, thread_views};

async fn store() -> SqliteStore {
    SqliteStore::open(&DatabaseLocation::Memory, &OpenOptions::default())
        .await
        .unwrap()
}

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// Two walks are merged as they are read: a page costs what its rows cost, however long the history of the account is.
#[tokio::test]
async fn what_an_account_may_see_is_walked_in_order() {
    let store = store().await;
    let before = Some(Position {
        at: at(0),
        id: "x".into(),
    });
    for before in [None, before] {
        for bounds in [None, Some(at(9))] {
            let base = MessageQuery {
                visible_to: some("a"),
                before: before.clone(),
                from: bounds,
                to: bounds,
                ..any_message()
            };
            for (thread, from, to, kind, indexes) in [
                (None, None, None, None, &["from_account (from", "to_account (to"][..]),
                (None, None, None, some("k"), &["from_account (from", "to_account (to"]),
                (some("t"), None, None, None, &["thread_sent_msg (thread_id=?"]),
                (
                    some("t"),
                    None,
                    None,
                    some("k"),
                    &["thread_kind (thread_id=? AND kind=?"],
                ),
                (None, some("a"), None, None, &["from_account (from"]),
                (
                    None,
                    some("b"),
                    None,
                    None,
                    &["from_to (from_account_id=? AND to_account_id=?"],
                ),
                (None, None, some("a"), None, &["to_account (to"]),
                (
                    None,
                    None,
                    some("b"),
                    None,
                    &["from_to (from_account_id=? AND to_account_id=?"],
                ),
                (
                    None,
                    some("a"),
                    some("b"),
                    None,
                    &["from_to (from_account_id=? AND to_account_id=?"],
                ),
            ] {
                let query = MessageQuery {
                    thread_id: thread,
                    from_account_id: from,
                    to_account_id: to,
                    kind,
                    ..base.clone()
                };
                walks_in_order(&store, &messages::page_query(&query).into_string(), indexes).await;
            }
        }
        let threads = ThreadQuery {
            participant: some("b"),
            text: "x".into(),
            before,
            ..any_thread()
        };
        let sql = thread_views::page_query(&threads, "a").into_string();
        let plan = plan(&store, &sql).await;
        assert!(plan.contains("idx_agent_thread_views_account (account_id=?"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
    let sql = thread_views::view_query("t", "a").into_string();
    walks_in_order(&store, &sql, &["PRIMARY KEY (thread_id=? AND account_id=?)"]).await;
}

/// A query for all is the statement that it was before there were issuers, but for the column itself.
#[test]
fn a_query_for_all_has_no_condition_more() {
    let query = MessageQuery {
        thread_id: some("t"),
        ..any_message()
    };
    let sql = messages::page_query(&query).into_string();
    let (_, condition) = sql.split_once(" INDEXED BY ").unwrap();
    assert_eq!(
        condition,
        "idx_agent_messages_thread_sent_msg WHERE TRUE AND thread_id = ? ORDER BY sent_at DESC, message_id DESC LIMIT ?"
    );
}

#[tokio::test]
async fn members_and_invites_are_found_by_index() {
    let store = store().await;
    let query = MemberQuery {
        after_account_id: some("a"),
        ..any_member()
    };
    let page = members::page_query(&query).into_string();
    for (sql, index) in [
        (page.as_str(), "SEARCH m USING PRIMARY KEY (account_id>?)"),
        (
            page.as_str(),
            "SEARCH a USING INDEX sqlite_autoindex_agent_accounts_1 (account_id=?)",
        ),
        (members::BY_USERNAME, "(username=?)"),
        (members::NKEY_IS_TAKEN, "idx_agent_members_nkey (nkey=?)"),
        (members::LIVE_INVITES, "idx_agent_invites_expires (expires_at>?)"),
        (members::PRUNE_INVITES, "idx_agent_invites_expires (expires_at<?)"),
        (members::DELETE_INVITES, "idx_agent_invites_account (account_id=?)"),
        (
            members::DELETE_UNUSED_INVITES,
            "idx_agent_invites_account (account_id=?)",
        ),
    ] {
        let plan = plan(&store, sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
        assert!(!plan.contains("SCAN m") && !plan.contains("SCAN a"), "{sql}\n{plan}");
    }
}

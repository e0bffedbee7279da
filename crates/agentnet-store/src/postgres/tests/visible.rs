//! Plans of the queries for what one account may see, and of those about members.

use agentnet_testkit::Postgres;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{opened, plan};
use crate::contract::sample::{any_member, any_message, any_thread, at};
use crate::model::{MemberQuery, MessageQuery, Position, ThreadQuery};
use crate::postgres::{members, messages, thread_views};

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// Of two walks a page each is read: a page costs what its rows cost, however long the history of the account is.
#[tokio::test]
async fn what_an_account_may_see_is_walked_in_order() {
    let server = Postgres::launch().await.unwrap();
    opened(&server).await.close().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let before = Some(Position {
        at: at(0),
        id: "x".into(),
    });
    let mut statements = Vec::new();
    for before in [None, before] {
        for (thread, from, to, kind, indexes) in [
            (None, None, None, None, &["from_account", "to_account"][..]),
            (some("t"), None, None, None, &["thread_sent_msg"]),
            (some("t"), None, None, some("k"), &["thread_kind"]),
            (None, some("a"), None, None, &["from_account"]),
            (None, some("b"), None, None, &["from_to"]),
            (None, None, some("a"), None, &["to_account"]),
            (None, None, some("b"), None, &["from_to"]),
        ] {
            let query = MessageQuery {
                visible_to: some("a"),
                thread_id: thread,
                from_account_id: from,
                to_account_id: to,
                kind,
                before: before.clone(),
                ..any_message()
            };
            let indexes: Vec<String> = indexes
                .iter()
                .map(|name| format!("idx_agent_messages_{name}"))
                .collect();
            statements.push((messages::page_query(&query).into_string(), indexes));
        }
        let query = ThreadQuery {
            participant: some("b"),
            text: "x".into(),
            before,
            ..any_thread()
        };
        statements.push((
            thread_views::page_query(&query, "a").into_string(),
            vec!["idx_agent_thread_views_account".into()],
        ));
    }
    let query = MemberQuery {
        after_account_id: some("a"),
        ..any_member()
    };
    statements.push((
        members::page_query(&query).into_string(),
        vec!["idx_agent_members_page".into(), "agent_accounts_pkey".into()],
    ));
    statements.push((thread_views::VIEW.into(), vec!["agent_thread_views_pkey".into()]));
    for (sql, indexes) in statements {
        let plan = plan(&mut connection, &sql).await;
        for index in indexes {
            assert!(
                plan.contains(&format!("using {index} ")),
                "{sql}\nshould use {index}, but:\n{plan}"
            );
        }
        assert!(!plan.contains("Sort  (") && !plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
}

//! What one account may see of the message history: messages that it has issued, and those whose receiver it is.
//!
//! Such a query walks the same indexes as any other. Messages that an account has issued name it as their sender, so the indexes
//! of the sender and the receiver find all that it may see, and `issuer` needs none.

use crate::model::{Message, MessageQuery};

/// Rows of a [`Walk`] that are in the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All that the query selects.
    All,
    /// Those that this account has issued; the query selects what it has sent.
    IssuedBy(String),
    /// Those that this account has not issued.
    NotIssuedBy(String),
    /// Those that this account has issued or received.
    VisibleTo(String),
    /// Nothing of the history.
    None,
}

/// A part of a query that walks one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Selects and orders the rows, without regard to `visible_to`.
    pub(crate) query: MessageQuery,
    /// Which of them are in the result.
    pub(crate) rows: Rows,
}

/// Divides a query into walks, at least one, whose results do not overlap.
pub(crate) fn walks(query: &MessageQuery) -> Vec<Walk> {
    let walk = |from: Option<&String>, to: Option<&String>, rows| Walk {
        query: MessageQuery {
            from_account_id: from.cloned(),
            to_account_id: to.cloned(),
            visible_to: None,
            ..query.clone()
        },
        rows,
    };
    let (from, to) = (query.from_account_id.as_ref(), query.to_account_id.as_ref());
    let Some(account) = &query.visible_to else {
        return vec![walk(from, to, Rows::All)];
    };
    let is_account = |id: &String| id == account;
    let one = match (from, to) {
        (_, Some(to)) if is_account(to) => walk(from, Some(to), Rows::All),
        (Some(from), _) if is_account(from) => walk(Some(from), to, Rows::VisibleTo(account.clone())),
        (Some(_), Some(_)) => walk(from, to, Rows::None),
        (Some(from), None) => walk(Some(from), Some(account), Rows::All),
        (None, Some(to)) => walk(Some(account), Some(to), Rows::IssuedBy(account.clone())),
        // The messages of one thread are few beside those of an account.
        (None, None) if query.message_id.is_some() || query.thread_id.is_some() => {
            walk(None, None, Rows::VisibleTo(account.clone()))
        }
        (None, None) => {
            return vec![
                walk(Some(account), None, Rows::IssuedBy(account.clone())),
                walk(None, Some(account), Rows::NotIssuedBy(account.clone())),
            ];
        }
    };
    vec![one]
}

/// The accounts that may see a message which has an issuer; nobody, of one without.
pub(crate) fn viewers(message: &Message) -> impl Iterator<Item = &str> {
    let sender = message.proven_sender();
    let receiver = message.to_account_id.as_deref().filter(|to| !to.is_empty());
    let receiver = receiver.filter(|to| message.issuer.is_some() && Some(*to) != sender);
    sender.into_iter().chain(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample::message;

    fn parts(query: &MessageQuery) -> Vec<(Option<String>, Option<String>, Rows)> {
        let parts = walks(query).into_iter();
        parts
            .map(|walk| (walk.query.from_account_id, walk.query.to_account_id, walk.rows))
            .collect()
    }

    #[test]
    fn a_query_becomes_walks_of_what_the_account_may_see() {
        let some = |id: &str| Some(id.to_owned());
        let a = || "a".to_owned();
        for (from, to, visible_to, expected) in [
            (None, None, None, vec![(None, None, Rows::All)]),
            (some("b"), None, None, vec![(some("b"), None, Rows::All)]),
            (
                None,
                None,
                some("a"),
                vec![
                    (some("a"), None, Rows::IssuedBy(a())),
                    (None, some("a"), Rows::NotIssuedBy(a())),
                ],
            ),
            (
                some("a"),
                None,
                some("a"),
                vec![(some("a"), None, Rows::VisibleTo(a()))],
            ),
            (some("b"), None, some("a"), vec![(some("b"), some("a"), Rows::All)]),
            (None, some("a"), some("a"), vec![(None, some("a"), Rows::All)]),
            (
                None,
                some("b"),
                some("a"),
                vec![(some("a"), some("b"), Rows::IssuedBy(a()))],
            ),
            (some("b"), some("a"), some("a"), vec![(some("b"), some("a"), Rows::All)]),
            (
                some("a"),
                some("b"),
                some("a"),
                vec![(some("a"), some("b"), Rows::VisibleTo(a()))],
            ),
            (
                some("b"),
                some("c"),
                some("a"),
                vec![(some("b"), some("c"), Rows::None)],
            ),
        ] {
            let query = MessageQuery {
                from_account_id: from,
                to_account_id: to,
                visible_to,
                ..MessageQuery::default()
            };
            assert_eq!(parts(&query), expected, "{query:?}");
        }
        let of_thread = MessageQuery {
            thread_id: some("t"),
            visible_to: some("a"),
            ..MessageQuery::default()
        };
        assert_eq!(parts(&of_thread), [(None, None, Rows::VisibleTo(a()))]);
    }

    #[test]
    fn a_message_is_seen_by_who_is_proven_to_have_sent_it_and_who_receives_it() {
        let seen_by = |issuer: Option<&str>, from: Option<&str>, to: Option<&str>| {
            let mut message = message("m", "t", 0).message;
            message.issuer = issuer.map(str::to_owned);
            message.from_account_id = from.map(str::to_owned);
            message.to_account_id = to.map(str::to_owned);
            viewers(&message).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(seen_by(Some("a"), Some("a"), Some("b")), ["a", "b"]);
        assert_eq!(seen_by(Some("a"), Some("a"), Some("a")), ["a"]);
        assert_eq!(seen_by(Some("a"), Some("a"), None), ["a"]);
        assert_eq!(seen_by(Some("a"), Some("a"), Some("")), ["a"]);
        assert_eq!(seen_by(Some("a"), Some("b"), Some("c")), ["c"]);
        assert!(seen_by(None, Some("a"), Some("b")).is_empty());
    }
}

//! Cursors of `registry.list`, `registry.search`, `registry.mailbox_list` and `registry.task_list` (an addition of ours, PROTOCOL.md section 0,
//! decision 4): opaque to clients, base64url of a small JSON array.

use std::cmp::Reverse;
use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::json::{ArrayWriter, Value};
use agentnet_protocol::rpc::RpcError;
use agentnet_store::model::Position;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::presence::ListKey;
use crate::presence::search::Rank;

/// The last result of a search page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SearchPosition {
    /// An online account.
    Online(Rank),
    /// An account without a live session, by username; all online ones were shown.
    Offline(String),
}

/// The cursor behind a session of `registry.list`.
pub(crate) fn list_cursor(key: &ListKey) -> String {
    encode(&["l", &key.0, &key.1])
}

/// Reads a cursor of `registry.list`.
pub(crate) fn list_position(cursor: Option<&str>) -> Result<Option<ListKey>, RpcError> {
    let Some(cursor) = cursor else { return Ok(None) };
    match decode(cursor).as_deref() {
        Some([kind, agent_id, tag]) if kind == "l" => Ok(Some((Arc::from(agent_id.as_str()), Arc::from(tag.as_str())))),
        _ => Err(RpcError::CURSOR_INVALID),
    }
}

/// The cursor behind a result of `registry.search`.
pub(crate) fn search_cursor(position: &SearchPosition) -> String {
    match position {
        SearchPosition::Online(rank) => encode(&["o", &rank.online.0.to_string(), &rank.username, &rank.account_id]),
        SearchPosition::Offline(username) => encode(&["u", username]),
    }
}

/// Reads a cursor of `registry.search`.
pub(crate) fn search_position(cursor: Option<&str>) -> Result<Option<SearchPosition>, RpcError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || match decode(cursor)?.as_slice() {
        [kind, online, username, account_id] if kind == "o" => Some(SearchPosition::Online(Rank {
            online: Reverse(online.parse().ok()?),
            username: username.clone(),
            account_id: account_id.clone(),
        })),
        [kind, username] if kind == "u" => Some(SearchPosition::Offline(username.clone())),
        _ => None,
    };
    read().map(Some).ok_or(RpcError::CURSOR_INVALID)
}

/// The cursor behind a message of `registry.mailbox_list`.
pub(crate) fn mailbox_cursor(seq: i64) -> String {
    encode(&["m", &seq.to_string()])
}

/// Reads a cursor of `registry.mailbox_list`; 0 where there is none.
pub(crate) fn mailbox_position(cursor: Option<&str>) -> Result<i64, RpcError> {
    let Some(cursor) = cursor else { return Ok(0) };
    let read = || match decode(cursor)?.as_slice() {
        [kind, seq] if kind == "m" => seq.parse().ok().filter(|seq| *seq >= 0),
        _ => None,
    };
    read().ok_or(RpcError::CURSOR_INVALID)
}

/// The cursor behind a task of `registry.task_list`.
pub(crate) fn task_cursor(position: &Position) -> String {
    encode(&["t", &position.at.as_micros().to_string(), &position.id])
}

/// Reads a cursor of `registry.task_list`.
pub(crate) fn task_position(cursor: Option<&str>) -> Result<Option<Position>, RpcError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || match decode(cursor)?.as_slice() {
        [kind, micros, id] if kind == "t" => Some(Position {
            at: Timestamp::from_micros(micros.parse().ok()?),
            id: id.clone(),
        }),
        _ => None,
    };
    read().map(Some).ok_or(RpcError::CURSOR_INVALID)
}

fn encode(parts: &[&str]) -> String {
    let mut array = ArrayWriter::new();
    for part in parts {
        array.text(part);
    }
    URL_SAFE_NO_PAD.encode(array.finish())
}

fn decode(cursor: &str) -> Option<Vec<String>> {
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let array = Value::parse(&json).ok()?.as_array()?;
    array
        .map(|part| part.as_str().map(std::borrow::Cow::into_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        let key: ListKey = (Arc::from("日本 \"x\""), Arc::from("registry_1"));
        assert_eq!(list_position(Some(&list_cursor(&key))).unwrap(), Some(key));
        for position in [
            SearchPosition::Online(Rank {
                online: Reverse(3),
                username: "bob".into(),
                account_id: "acct_1".into(),
            }),
            SearchPosition::Offline("zoë".into()),
        ] {
            assert_eq!(
                search_position(Some(&search_cursor(&position))).unwrap(),
                Some(position)
            );
        }
        assert_eq!(mailbox_position(Some(&mailbox_cursor(77))).unwrap(), 77);
        assert_eq!(mailbox_position(None).unwrap(), 0);
        let task = Position {
            at: Timestamp::from_micros(1_771_660_800_000_001),
            id: "task_1".into(),
        };
        assert_eq!(task_position(Some(&task_cursor(&task))).unwrap(), Some(task));
        assert_eq!(task_position(None).unwrap(), None);
        assert_eq!(
            (list_position(None).unwrap(), search_position(None).unwrap()),
            (None, None)
        );
    }

    #[test]
    fn other_texts_are_refused() {
        let search = search_cursor(&SearchPosition::Offline("x".into()));
        for text in ["", "garbage", "W10", "e30", &search] {
            assert_eq!(
                list_position(Some(text)).unwrap_err(),
                RpcError::CURSOR_INVALID,
                "{text}"
            );
        }
        for text in ["", "W10", &search, &encode(&["m", "-1"]), &encode(&["m", "x"])] {
            assert_eq!(
                mailbox_position(Some(text)).unwrap_err(),
                RpcError::CURSOR_INVALID,
                "{text}"
            );
        }
        for text in ["", "W10", &search, &encode(&["t", "x", "task_1"]), &encode(&["t", "1"])] {
            assert_eq!(
                task_position(Some(text)).unwrap_err(),
                RpcError::CURSOR_INVALID,
                "{text}"
            );
        }
        let number = encode(&["o", "many", "a", "b"]);
        for text in ["x", &list_cursor(&(Arc::from("a"), Arc::from("b"))), &number] {
            assert_eq!(
                search_position(Some(text)).unwrap_err(),
                RpcError::CURSOR_INVALID,
                "{text}"
            );
        }
    }
}

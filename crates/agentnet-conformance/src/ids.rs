//! Ids of the items of a reply's lists.

use serde_json::Value;

/// The members that hold an id, first match: sessions, messages, threads, accounts.
const MEMBERS: [&str; 4] = ["session_tag", "message_id", "thread_id", "account_id"];

/// The id of an item; of a leased message that of the message in it.
pub(crate) fn of(item: &Value) -> Option<&str> {
    let own = MEMBERS.iter().find_map(|name| item.get(*name)?.as_str());
    own.or_else(|| item.get("envelope")?.get("message_id")?.as_str())
}

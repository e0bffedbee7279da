//! Lists of a registry with other users: which items belong to the run, and which part of a page can be compared.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids;
use crate::placeholder::Bindings;

/// Members of replies that are lists.
const LISTS: [&str; 3] = ["agents", "results", "messages"];

/// What was removed before the comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListRestriction {
    /// The number of compared items, if not all expected ones.
    pub(super) remark: Option<String>,
    /// The reason why none of the expected items could be compared.
    pub(super) unseen: Option<String>,
}

/// Removes other users' items from a reply.
///
/// A page contains the first of the run's items, in order. So if others' items fill a page, the expected lists are cut to the
/// number of the run's items on it, and the cursor is not compared.
pub(super) fn restrict(reply: &mut Value, templates: &mut [&mut Value], own: &dyn Fn(&str) -> bool) -> ListRestriction {
    let mut restricted = ListRestriction::default();
    let limit = reply["limit"].as_u64();
    for list in LISTS {
        let goes_on = reply["next_cursor"].is_string();
        let Some(items) = reply.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        let total = items.len();
        items.retain(|item| ids::of(item).is_some_and(own));
        let seen = items.len();
        if total == seen || !(goes_on || limit == Some(total as u64)) {
            continue;
        }
        for template in templates.iter_mut() {
            let Some(expected) = template.get_mut(list).and_then(Value::as_array_mut) else {
                continue;
            };
            let due = expected.len();
            expected.truncate(seen);
            if seen == 0 && due > 0 {
                restricted.unseen = Some(format!(
                    "the registry holds others' data, which fills the page: none of the run's {due} items is on it"
                ));
            } else if seen < due {
                restricted.remark = Some(format!("{seen} of {due} items compared: others' data fills the page"));
            }
        }
        for value in templates
            .iter_mut()
            .map(|template| &mut **template)
            .chain([&mut *reply])
        {
            if let Some(members) = value.as_object_mut() {
                members.shift_remove("next_cursor");
            }
        }
    }
    restricted
}

/// Sorts the expected sessions of a list by agent id and by their tags in this run: tags begin with the registry's server id,
/// so their order can differ from the recorded one.
pub(super) fn arrange_sessions(expected: &mut Value, bindings: &Bindings) {
    if let Some(agents) = expected.get_mut("agents").and_then(Value::as_array_mut) {
        let text = |agent: &Value, name: &str| bindings.shown(agent[name].as_str().unwrap_or_default());
        agents.sort_by_cached_key(|agent| (text(agent, "agent_id"), text(agent, "session_tag")));
    }
}

/// Search results with generated usernames, and the usernames of this run.
///
/// Generated names are random: their order in a list differs from the recorded one, and a name can contain a searched text by
/// chance.
#[derive(Debug, Default)]
pub(super) struct GeneratedNames {
    /// Search results by account, from their first recording.
    generated: BTreeMap<String, Value>,
    /// Actual username by account.
    actual: BTreeMap<String, String>,
}

impl GeneratedNames {
    /// Collects the results with generated names from an expected reply.
    pub(super) fn read(&mut self, expected: &Value) {
        for item in expected["results"].as_array().into_iter().flatten() {
            if let (Some(account), true, true) = (
                item["account_id"].as_str(),
                is_generated(item),
                item.get("display_name").is_some(),
            ) {
                self.generated.entry(account.to_owned()).or_insert_with(|| item.clone());
            }
        }
    }

    /// Records the username that an account of the step file got.
    pub(super) fn note(&mut self, account: &str, name: &str) {
        self.actual.insert(account.to_owned(), name.to_owned());
    }

    fn of(&self, item: &Value) -> String {
        match item["account_id"].as_str().and_then(|account| self.actual.get(account)) {
            Some(name) => name.clone(),
            None => item["username"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Reorders the expected results of a search for the names of this run.
    pub(super) fn arrange(&self, expected: &mut Value) {
        let query = expected["query"].as_str().unwrap_or_default().trim().to_lowercase();
        let limit = expected["limit"].as_u64();
        let Some(results) = expected.get_mut("results").and_then(Value::as_array_mut) else {
            return;
        };
        // The limit may have cut off a name that now comes first.
        let mut items: Vec<Value> = match limit == Some(results.len() as u64) {
            true => self.generated.values().cloned().collect(),
            false => results.iter().filter(|item| is_generated(item)).cloned().collect(),
        };
        items.sort_by_key(|item| self.of(item));
        for (place, item) in results.iter_mut().filter(|item| is_generated(item)).zip(items) {
            *place = item;
        }
        if query.is_empty() {
            return;
        }
        for item in self.generated.values() {
            if self.of(item).contains(&query) && !results.contains(item) {
                let rank = |item: &Value| (Reverse(item["online_sessions"].as_u64()), self.of(item));
                let place = results.partition_point(|other| rank(other) < rank(item));
                results.insert(place, item.clone());
            }
        }
    }
}

/// Whether a recorded item has a generated username.
fn is_generated(item: &Value) -> bool {
    let username = item["username"].as_str().unwrap_or_default();
    username.contains("<ulid8>") || username.contains("<suffix6>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(ids: &[&str], limit: u64, next: Value) -> Value {
        let items: Vec<Value> = ids.iter().map(|id| json!({ "thread_id": id })).collect();
        json!({ "limit": limit, "results": items, "next_cursor": next })
    }

    #[test]
    fn a_full_page_is_compared_in_part() {
        let whole = page(&["own1", "own2"], 20, Value::Null);
        for (ids, limit, next, compared, remark, unseen) in [
            (vec!["own1", "own2"], 20, Value::Null, 2, false, false),
            (vec!["x", "own1", "y", "own2"], 20, Value::Null, 2, false, false),
            // An item is missing although the page is not full: a failure.
            (vec!["x", "own1"], 20, Value::Null, 2, false, false),
            (vec!["x", "own1"], 2, json!("more"), 1, true, false),
            (vec!["x", "own1"], 20, json!("cut to fit"), 1, true, false),
            (vec!["x", "y"], 2, json!("more"), 0, false, true),
        ] {
            let mut reply = page(&ids, limit, next);
            let mut expected = whole.clone();
            let restricted = restrict(&mut reply, &mut [&mut expected], &|id| id.starts_with("own"));
            assert_eq!(expected["results"].as_array().unwrap().len(), compared, "{ids:?}");
            assert_eq!(
                (restricted.remark.is_some(), restricted.unseen.is_some()),
                (remark, unseen),
                "{ids:?}"
            );
            let left = reply["results"].as_array().unwrap();
            assert!(
                left.iter().all(|item| ids::of(item).unwrap().starts_with("own")),
                "{reply}"
            );
        }
    }

    #[test]
    fn generated_names_are_sorted_by_their_actual_value() {
        let item = |account: &str, name: &str| json!({"account_id": account, "username": name, "display_name": "", "online_sessions": 1});
        let (first, second) = (item("a", "agent_<ulid8>"), item("b", "agent_<ulid8>"));
        let recorded = json!({"query": "", "limit": 20, "results": [first, second, item("c", "carol")]});
        let mut names = GeneratedNames::default();
        names.read(&recorded);
        names.note("a", "agent_zzz");
        names.note("b", "agent_aaa");
        let mut expected = recorded.clone();
        names.arrange(&mut expected);
        let order = |reply: &Value| -> Vec<String> {
            let results = reply["results"].as_array().unwrap().iter();
            results
                .map(|item| item["account_id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(order(&expected), ["b", "a", "c"]);
        let mut cut = json!({"query": "", "limit": 1, "results": [recorded["results"][0]]});
        names.arrange(&mut cut);
        assert_eq!(order(&cut), ["b"]);
        let mut found = json!({"query": "ZZ", "limit": 20, "results": []});
        names.arrange(&mut found);
        assert_eq!(order(&found), ["a"]);
    }
}

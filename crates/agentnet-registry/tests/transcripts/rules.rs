//! The rules of the list of differences: each turns a recorded reply into what ours has to be, as far as it applies.

use std::collections::{BTreeMap, BTreeSet};

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::json::{self, Kind};
use agentnet_protocol::{Cursor, Timestamp, ids, username};
use serde_json::{Map, Value, json};

use crate::transcript::{Body, Recorded, Step, Transcript};

type Members = Map<String, Value>;

/// A step, the reply that is expected of it, and what happened before.
pub(crate) struct Case<'a> {
    pub(crate) step: &'a Step,
    pub(crate) expected: &'a mut Value,
    pub(crate) story: &'a mut Story,
}

/// What the rules remember of the conversation. Texts are those of the recording, placeholders and all.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Messages in the order of publication, those that repeat an id included.
    published: Vec<Members>,
    /// Messages as they were recorded first, by id.
    messages: BTreeMap<String, Value>,
    /// Search results with a generated name, by account.
    generated: BTreeMap<String, Value>,
    /// Account ids that were refused.
    refused: BTreeSet<String>,
    /// Account id to username.
    names: BTreeMap<String, String>,
    /// Account id to recorded and actual username.
    renamed: BTreeMap<String, (String, String)>,
    /// Sessions that were registered under the new name. Those before keep the name that they were given.
    renamed_sessions: BTreeSet<String>,
}

impl Story {
    /// Learns what was recorded of messages and of accounts with generated names.
    pub(crate) fn read(&mut self, transcript: &Transcript) {
        for step in &transcript.steps {
            let Recorded::Reply(reply) = &step.recorded else {
                continue;
            };
            each_object(&mut reply.clone(), &mut |object| {
                let known = if is_generated(text(object, "username")) && object.contains_key("display_name") {
                    self.generated.entry(text(object, "account_id").to_owned())
                } else if is_message(object) {
                    self.messages.entry(text(object, "message_id").to_owned())
                } else {
                    return false;
                };
                known.or_insert_with(|| Value::Object(object.clone()));
                false
            });
        }
    }

    /// The search results with a generated name.
    pub(crate) fn generated_accounts(&self) -> Vec<Value> {
        self.generated.values().cloned().collect()
    }

    /// Notes a publication, if it is one that reaches the history.
    pub(crate) fn note_publication(&mut self, step: &Step) {
        let captured = step.subject.starts_with("agent.capability.")
            || step.subject.starts_with("_INBOX.")
            || (step.subject.starts_with("account.") && step.subject.ends_with(".inbox"));
        if let (true, Body::Json(Value::Object(message))) = (captured, &step.body)
            && message.get("message_id").is_some_and(|id| *id != "")
        {
            self.published.push(message.clone());
        }
    }

    fn first(&self, message_id: &str) -> Option<&Members> {
        self.published
            .iter()
            .find(|message| text(message, "message_id") == message_id)
    }

    fn published_twice(&self, message_id: &str) -> bool {
        self.published
            .iter()
            .filter(|message| text(message, "message_id") == message_id)
            .count()
            > 1
    }
}

fn text<'a>(members: &'a Members, name: &str) -> &'a str {
    members.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a recorded username has characters that are different each time.
pub(crate) fn is_generated(username: &str) -> bool {
    username.contains("<ulid8>") || username.contains("<suffix6>")
}

fn is_message(object: &Members) -> bool {
    object.contains_key("message_id") && object.contains_key("received_at")
}

/// Calls `change` for every object of a value, and tells whether one of the calls returned `true`.
fn each_object(value: &mut Value, change: &mut dyn FnMut(&mut Members) -> bool) -> bool {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |any, item| each_object(item, change) | any),
        Value::Object(members) => {
            let changed = change(members);
            members
                .values_mut()
                .fold(changed, |any, value| each_object(value, change) | any)
        }
        _ => false,
    }
}

fn refuse(case: &mut Case<'_>, error: &str) -> bool {
    *case.expected = json!({ "error": error });
    true
}

/// What the original left without a reply.
pub(crate) fn unreadable(case: &mut Case<'_>) -> bool {
    let (Recorded::NoReply, Body::Raw(body)) = (&case.step.recorded, &case.step.body) else {
        return false;
    };
    match json::Value::parse(body) {
        Err(error) => refuse(case, &error.to_string()),
        // JSON, but a member that cannot be used: the error names it.
        Ok(value) => {
            assert_eq!(
                value.kind(),
                Kind::Object,
                "{}: nothing is wrong with this request",
                case.step
            );
            let names: Vec<String> = value
                .as_object()
                .into_iter()
                .flat_map(|object| object.unique())
                .map(|m| m.0.text().into())
                .collect();
            refuse(case, &format!("<about {}>", names.join("|")))
        }
    }
}

pub(crate) fn cursor_invalid(case: &mut Case<'_>) -> bool {
    let cursor = match case.step.asked("cursor") {
        Some(Value::String(text)) => text.clone(),
        Some(other) if !other.is_null() => other.to_string(),
        _ => return false,
    };
    Cursor::decode(&cursor).is_err() && refuse(case, "cursor_invalid")
}

pub(crate) fn account_id_invalid(case: &mut Case<'_>) -> bool {
    let asked = case.step.asked("account_id").and_then(Value::as_str);
    let Some(id) = asked.filter(|id| case.step.subject == "registry.register" && !ids::valid_account_id(id)) else {
        return false;
    };
    case.story.refused.insert(id.to_owned());
    refuse(case, "account_id is invalid")
}

pub(crate) fn without_refused_accounts(case: &mut Case<'_>) -> bool {
    let refused = &case.story.refused;
    let mut changed = false;
    for list in ["agents", "results"] {
        let Some(items) = case.expected.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        let before = items.len();
        items.retain(|item| !item["account_id"].as_str().is_some_and(|id| refused.contains(id)));
        changed |= items.len() != before;
    }
    changed
}

pub(crate) fn renamed_accounts(case: &mut Case<'_>) -> bool {
    let Story {
        names,
        renamed,
        renamed_sessions,
        ..
    } = &mut *case.story;
    let registers = case.step.subject == "registry.register";
    if registers
        && let Some(reply) = case
            .expected
            .as_object()
            .filter(|reply| reply.contains_key("session_tag"))
    {
        let (id, recorded) = (text(reply, "account_id").to_owned(), text(reply, "username").to_owned());
        let asked = case
            .step
            .asked("username")
            .and_then(Value::as_str)
            .map(username::normalise)
            .unwrap_or_default();
        let free = !names.values().any(|name| *name == asked);
        match case
            .step
            .asked("account_id")
            .is_some()
            .then(|| names.get_mut(&id))
            .flatten()
        {
            Some(name) if !asked.is_empty() && free => {
                name.clone_from(&asked);
                renamed.insert(id, (recorded, asked));
            }
            Some(_) => {}
            None => drop(names.insert(id, recorded)),
        }
    }
    each_object(case.expected, &mut |object| {
        let Some((recorded, name)) = renamed.get(text(object, "account_id")) else {
            return false;
        };
        let session = text(object, "session_tag");
        if registers && !session.is_empty() {
            renamed_sessions.insert(session.to_owned());
        }
        let renamed = session.is_empty() || renamed_sessions.contains(session);
        let applies = renamed && text(object, "username") == recorded;
        if applies {
            object["username"] = json!(name);
        }
        applies
    })
}

/// The messages with these ids, as this step recorded them, else as another one did.
pub(crate) fn page(case: &mut Case<'_>, messages: &[&str], next: Option<(&str, &str)>) -> bool {
    let recorded = case.expected["messages"].as_array().cloned().unwrap_or_default();
    let is = |item: &Value, id: &str| item["message_id"] == id;
    // What is left out must be a message at all.
    if recorded.iter().any(|item| {
        case.story
            .first(item["message_id"].as_str().unwrap_or_default())
            .is_none()
    }) {
        return false;
    }
    let item = |id: &&str| {
        recorded
            .iter()
            .find(|item| is(item, id))
            .or_else(|| case.story.messages.get(*id))
            .cloned()
    };
    let Some(items) = messages.iter().map(item).collect::<Option<Vec<Value>>>() else {
        return false;
    };
    case.expected["messages"] = items.into();
    case.expected["next_cursor"] = next.map_or(Value::Null, |(message_id, sent_at)| {
        let sent_at = Timestamp::parse(sent_at).expect("the list holds times");
        json!(
            Cursor {
                sent_at,
                message_id: message_id.to_owned()
            }
            .encode()
        )
    });
    true
}

/// The recorded threads in another order.
pub(crate) fn threads(case: &mut Case<'_>, threads: &[&str]) -> bool {
    let Some(results) = case.expected["results"].as_array_mut() else {
        return false;
    };
    let place = |item: &Value| threads.iter().position(|id| item["thread_id"] == *id);
    let mut places: Vec<Option<usize>> = results.iter().map(place).collect();
    places.sort_unstable();
    let permutation = places.into_iter().eq((0..threads.len()).map(Some));
    if permutation {
        results.sort_by_key(place);
    }
    permutation
}

pub(crate) fn first_kept(case: &mut Case<'_>) -> bool {
    let story = &*case.story;
    each_object(case.expected, &mut |object| {
        let id = text(object, "message_id").to_owned();
        let Some(first) = story
            .first(&id)
            .filter(|_| is_message(object) && story.published_twice(&id))
        else {
            return false;
        };
        for name in [
            "parent_message_id",
            "from_account_id",
            "from_session_tag",
            "to_account_id",
            "to_agent",
            "kind",
            "schema_version",
            "idempotency_key",
            "payload",
            "trace_id",
            "sent_at",
        ] {
            object[name] = first.get(name).cloned().unwrap_or(Value::Null);
        }
        true
    })
}

pub(crate) fn sent_at_receipt(case: &mut Case<'_>) -> bool {
    each_object(case.expected, &mut |object| {
        let applies = is_message(object) && Timestamp::parse(text(object, "sent_at")).is_none();
        if applies {
            object["sent_at"] = json!("<timestamp>");
        }
        applies
    })
}

pub(crate) fn history_extras(case: &mut Case<'_>) -> bool {
    let story = &*case.story;
    each_object(case.expected, &mut |object| {
        let Some(sent) = story.first(text(object, "message_id")).filter(|_| is_message(object)) else {
            return false;
        };
        object.insert("from_agent".to_owned(), json!(text(sent, "from_agent")));
        for name in ["ttl_ms", "expires_at"] {
            object.insert(name.to_owned(), sent.get(name).cloned().unwrap_or(Value::Null));
        }
        true
    })
}

pub(crate) fn last_message_at_maximum(case: &mut Case<'_>) -> bool {
    let story = &*case.story;
    each_object(case.expected, &mut |object| {
        if !object.contains_key("approx_tokens") {
            return false;
        }
        let stored = story.published.iter().filter(|message| {
            let is_first = story
                .first(text(message, "message_id"))
                .is_some_and(|first| std::ptr::eq(first, *message));
            is_first && thread_of(message) == text(object, "thread_id")
        });
        let times: Option<Vec<Timestamp>> = stored
            .map(|message| Timestamp::parse(text(message, "sent_at")))
            .collect();
        let expected = match times {
            Some(times) => times.into_iter().max().expect("a thread has a message").to_string(),
            None => "<timestamp>".to_owned(),
        };
        let applies = text(object, "last_message_at") != expected;
        object["last_message_at"] = json!(expected);
        applies
    })
}

fn thread_of(message: &Members) -> String {
    let named = json::trim(text(message, "thread_id"));
    let trace = Some(text(message, "trace_id")).filter(|trace| !trace.is_empty());
    if named.is_empty() {
        default_thread_id(trace.unwrap_or_else(|| text(message, "message_id"))).to_string()
    } else {
        named.to_owned()
    }
}

pub(crate) fn connected_at_real(case: &mut Case<'_>) -> bool {
    each_object(case.expected, &mut |object| {
        let applies = object.get("connected_at").is_some_and(|at| *at == "");
        if applies {
            object["connected_at"] = json!("<timestamp>");
        }
        applies
    })
}

pub(crate) fn reply_prefix(case: &mut Case<'_>) -> bool {
    let reply = case
        .expected
        .as_object_mut()
        .filter(|reply| reply.contains_key("session_tag"));
    reply.is_some_and(|reply| {
        reply
            .insert("reply_prefix".to_owned(), json!("agentnet.reply"))
            .is_none()
    })
}

//! The written list of what our registry answers otherwise than the recorded one, with the decision of section 0 of
//! `docs/PROTOCOL.md` that wants it so. There are no other differences.
//!
//! An entry changes the recorded reply into the one that ours has to be, which is then compared like any other. An entry that
//! changes nothing in a transcript that it names is an error, like a difference that no entry explains.

use serde_json::Value;

use crate::rules::{self, Case};
use crate::transcript::Step;

const IDENTITY: &str = "registry_identity_memory";
const THREADS: &str = "registry_threads_memory";
const DEV_AUTH: &str = "registry_dev_auth_memory";

/// One intended difference.
pub(crate) struct Difference {
    /// The decision of section 0.
    pub(crate) decision: &'static str,
    pub(crate) what: &'static str,
    pub(crate) at: At,
    instead: Instead,
}

/// Where it is met.
pub(crate) enum At {
    /// Wherever its rule applies, in each of these transcripts at least once.
    Rule(&'static [&'static str]),
    /// In the steps of a transcript with this subject and one of these notes, in each of them.
    Steps(&'static str, &'static str, &'static [&'static str]),
}

/// How ours replies instead.
enum Instead {
    Patch(&'static [Op]),
    /// These messages in this order, and a cursor behind the one with this id and time.
    Page(&'static [&'static str], Option<(&'static str, &'static str)>),
    /// These threads in this order.
    Threads(&'static [&'static str]),
    /// As a function of request and recorded reply; `false` if it does not apply.
    Rule(fn(&mut Case<'_>) -> bool),
}

/// One change at a JSON pointer; values are JSON with placeholders.
enum Op {
    Set(&'static str, &'static str),
    /// Adds a member, at the end or where sorted names want it, or inserts an item.
    Add(&'static str, &'static str),
    Remove(&'static str),
}

use At::{Rule as Everywhere, Steps};
use Instead::{Page, Patch, Rule, Threads};
use Op::{Add, Remove, Set};

const MESSAGES: &str = "registry.thread_messages";
const SEARCH: &str = "registry.message_search";

/// The whole list. Earlier entries are applied first.
#[rustfmt::skip]
pub(crate) const DIFFERENCES: &[Difference] = &[
    // Malformed input.
    Difference {
        decision: "0.3", what: "what cannot be read is answered at once, with an error that says what is wrong",
        at: Everywhere(&[IDENTITY, THREADS]), instead: Rule(rules::unreadable),
    },
    Difference {
        decision: "0.3", what: "a cursor that cannot be read is an error, not the first page",
        at: Everywhere(&[THREADS]), instead: Rule(rules::cursor_invalid),
    },

    // Accounts.
    Difference {
        decision: "0.5", what: "a requested account id is checked",
        at: Everywhere(&[IDENTITY]), instead: Rule(rules::account_id_invalid),
    },
    Difference {
        decision: "0.5", what: "an account that was refused is in no list",
        at: Everywhere(&[IDENTITY]), instead: Rule(rules::without_refused_accounts),
    },
    Difference {
        decision: "0.5", what: "a known account takes the free name that it asks for, and has it from then on",
        at: Everywhere(&[IDENTITY]), instead: Rule(rules::renamed_accounts),
    },

    // History: the first of two messages with one id is kept, so m003 is from 08:00:03, not from 08:00:59; a time that cannot
    // be read is that of receipt, so B64 and nofields are the newest.
    Difference {
        decision: "0.2", what: "the order and the pages are those of the first m003",
        at: Steps(THREADS, MESSAGES, &["page 1, newest first"]),
        instead: Page(&["m012", "m011", "m010", "m008", "m007"], Some(("m007", "2026-02-21T08:00:07.000001Z"))),
    },
    Difference {
        decision: "0.2", what: "the order and the pages are those of the first m003",
        at: Steps(THREADS, MESSAGES, &["page 2"]),
        instead: Page(&["m007", "m006", "m005", "m004", "m003"], Some(("m003", "2026-02-21T08:00:03.000001Z"))),
    },
    Difference {
        decision: "0.2", what: "the order is that of the first m003",
        at: Steps(THREADS, MESSAGES, &["limit 0 -> 50", "-> 200"]),
        instead: Page(&["m012", "m011", "m010", "m008", "m007", "m006", "m005", "m004", "m003", "m002", "m001", "OLD"], None),
    },
    Difference {
        decision: "0.2", what: "the newest message is not the second m003",
        at: Steps(THREADS, MESSAGES, &["-> 1"]),
        instead: Page(&["m012"], Some(("m012", "2026-02-21T08:00:12.000001Z"))),
    },
    Difference {
        decision: "0.2", what: "messages without a readable time are as new as their receipt",
        at: Steps(THREADS, SEARCH, &["no filter"]),
        instead: Page(&["B64", "nofields", "m012"], Some(("m012", "2026-02-21T08:00:12.000001Z"))),
    },
    Difference {
        decision: "0.2", what: "messages without a readable time are as new as their receipt, and the first m003 is too old",
        at: Steps(THREADS, SEARCH, &["from_ts inclusive lower bound"]),
        instead: Page(&["B64", "nofields", "m012", "m011", "m010", "m009"], None),
    },
    Difference {
        decision: "0.2", what: "the order is that of the first m003 and of receipt",
        at: Steps(THREADS, SEARCH, &["falsy bounds ignored", "empty body: all"]),
        instead: Page(&["B64", "nofields", "m012", "m011", "m010", "m009", "m008", "m007", "m006", "m005", "m004", "m003", "m002",
            "m001", "OLD"], None),
    },
    Difference {
        decision: "0.2", what: "of two messages with one id, the first is kept",
        at: Everywhere(&[THREADS]), instead: Rule(rules::first_kept),
    },
    Difference {
        decision: "0.2", what: "a sent_at that cannot be read is the time of receipt",
        at: Everywhere(&[THREADS]), instead: Rule(rules::sent_at_receipt),
    },
    Difference {
        decision: "0.10", what: "messages also carry from_agent, ttl_ms and expires_at as they were sent",
        at: Everywhere(&[THREADS]), instead: Rule(rules::history_extras),
    },

    // Threads: the order is by last_message_at, which is 08:00:12 for thread_one.
    Difference {
        decision: "0.2", what: "thread_one is newer than thread_m009: its last_message_at did not move back",
        at: Steps(THREADS, "registry.thread_list",
            &["all, newest activity first", "clamped 100", "username normalises to nothing: no filter", "overrides"]),
        instead: Threads(&["Thread_TWO", "thread_nofields", "thread_one", "thread_m009"]),
    },
    Difference {
        decision: "0.2", what: "thread_one is newer than thread_m009: its last_message_at did not move back",
        at: Steps(THREADS, "registry.thread_list", &["by participant account", "by username (normalised in the echo)"]),
        instead: Threads(&["Thread_TWO", "thread_one", "thread_m009"]),
    },
    Difference {
        decision: "0.2", what: "last_message_at is the maximum, and the time of receipt for a time that cannot be read",
        at: Everywhere(&[THREADS]), instead: Rule(rules::last_message_at_maximum),
    },

    // Sessions and replies.
    Difference {
        decision: "0.2", what: "connected_at is real",
        at: Everywhere(&[IDENTITY, DEV_AUTH]), instead: Rule(rules::connected_at_real),
    },
    Difference {
        decision: "0.10", what: "the register reply says where to ask replies to",
        at: Everywhere(&[IDENTITY, DEV_AUTH]), instead: Rule(rules::reply_prefix),
    },

    // Paging.
    Difference {
        decision: "0.4", what: "a search that was cut says where to go on",
        at: Steps(IDENTITY, "registry.search", &["limit", "negative -> 1", "string int", "float truncated", "true -> 1"]),
        instead: Patch(&[Add("/next_cursor", r#""<cursor>""#)]),
    },
    Difference {
        decision: "0.4", what: "a list of threads that was cut says where to go on",
        at: Steps(THREADS, "registry.thread_list", &["limit"]),
        instead: Patch(&[Add("/next_cursor", r#""<cursor>""#)]),
    },

    // Metrics.
    Difference {
        decision: "0.2", what: "there is always a database, and messages reach it in batches",
        at: Steps(THREADS, "registry.metrics", &["metrics"]),
        instead: Patch(&[
            Set("/store_enabled", "true"),
            Set("/db_write_queue/enabled", "true"),
            Remove("/latency_ms/local.persist_message"),
            Add("/latency_ms/db.enqueue_message", r#"{"count": "<count>", "p50": "<ms>", "p95": "<ms>", "p99": "<ms>"}"#),
            Add("/latency_ms/db.persist_batch", r#"{"count": "<count>", "p50": "<ms>", "p95": "<ms>", "p99": "<ms>"}"#),
        ]),
    },
    Difference {
        decision: "0.1", what: "no compaction event is considered",
        at: Steps(THREADS, "registry.metrics", &["metrics"]),
        instead: Patch(&[Remove("/latency_ms/compaction.maybe_emit")]),
    },
    Difference {
        decision: "0.10", what: "metrics also tell of the store, of sessions and of the capture",
        at: Steps(THREADS, "registry.metrics", &["metrics"]),
        instead: Patch(&[
            Add("/store_backend", r#""sqlite""#),
            Add("/online_sessions", r#""<count>""#),
            // m001 to m012, nofields, OLD and B64 once each; m003 a second time; three bodies that are no messages.
            Add("/capture", r#"{"mode": "jetstream", "stored": 15, "duplicates": 1, "refused": 0, "ignored": "<count>", "lag": 0}"#),
        ]),
    },

    // Signed registration.
    Difference {
        decision: "0.5", what: "a registration that is refused changes no profile",
        at: Steps(DEV_AUTH, "registry.profile", &[
            "NOTE the rejected registration has already overwritten the profile (display name, capabilities, agent id)",
            "postgres keeps dev_auth_public_key in metadata but the RPC shows {}",
        ]),
        instead: Patch(&[Set("/profile/display_name", r#""Alice""#), Set("/profile/capabilities", "[]")]),
    },
    Difference {
        decision: "0.5", what: "a registration that is refused creates no account",
        at: Steps(DEV_AUTH, "registry.resolve_account", &["NOTE the account was created by the rejected registration"]),
        instead: Patch(&[Set("", r#"{"error": "not_found"}"#)]),
    },
    Difference {
        decision: "0.6", what: "an agent that asks for no username may claim none",
        at: Steps(DEV_AUTH, "registry.register",
            &["no username: rejected because the username derived from agent_id is not claimed"]),
        instead: Patch(&[Set("", r#"{"account_id": "<account:4>", "username": "ag_z", "session_tag": "<session:40>",
            "heartbeat_interval": 12.0, "ttl_seconds": 40.0, "registered_at": "<timestamp>",
            "reply_prefix": "agentnet.reply"}"#)]),
    },
    Difference {
        decision: "0.6", what: "a hello with a session tag that no registry issued has no effect",
        at: Steps(DEV_AUTH, "registry.list", &["spoofed session listed"]),
        instead: Patch(&[Remove("/agents/4")]),
    },
    Difference {
        decision: "0.6", what: "the agent that claimed no username is online",
        at: Steps(DEV_AUTH, "registry.list", &["sessions: only successful registrations", "spoofed session listed"]),
        instead: Patch(&[Add("/agents/3", r#"{"agent_id": "ag_z", "name": "Z", "capabilities": [], "metadata": {},
            "account_id": "<account:4>", "username": "ag_z", "session_tag": "<session:40>", "last_seen": "<timestamp>"}"#)]),
    },
];

impl Difference {
    /// What it has to be met by, in a transcript: one rule, or so many steps.
    pub(crate) fn due(&self, transcript: &str) -> Vec<&'static str> {
        match &self.at {
            At::Rule(transcripts) if transcripts.contains(&transcript) => vec!["anywhere"],
            At::Steps(of, _, notes) if *of == transcript => notes.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Changes the expected reply of a step; what it was met by, unless it does not apply.
    pub(crate) fn apply(&self, case: &mut Case<'_>) -> Option<&'static str> {
        let met = match &self.at {
            At::Rule(transcripts) if transcripts.contains(&case.step.transcript.as_str()) => "anywhere",
            At::Steps(transcript, subject, notes)
                if *transcript == case.step.transcript && *subject == case.step.subject =>
            {
                *notes.iter().find(|note| **note == case.step.note)?
            }
            _ => return None,
        };
        let before = case.expected.clone();
        let applies = match &self.instead {
            Instead::Patch(ops) => {
                ops.iter().for_each(|op| op.apply(case.expected, case.step));
                true
            }
            Instead::Page(messages, next) => rules::page(case, messages, *next),
            Instead::Threads(threads) => rules::threads(case, threads),
            Instead::Rule(rule) => rule(case),
        };
        (applies && before != *case.expected).then_some(met)
    }
}

impl Op {
    fn apply(&self, reply: &mut Value, step: &Step) {
        let parse = |json: &str| serde_json::from_str::<Value>(json).expect("the list holds JSON");
        match self {
            Self::Set(pointer, json) => {
                let place = reply
                    .pointer_mut(pointer)
                    .unwrap_or_else(|| panic!("{step}: nothing recorded at {pointer}"));
                *place = parse(json);
            }
            Self::Add(pointer, json) => match parent(reply, pointer, step) {
                (Value::Array(items), index) => items.insert(index.parse().expect("an index"), parse(json)),
                (Value::Object(members), name) => {
                    let sorted = members.keys().is_sorted();
                    members.insert(name.to_owned(), parse(json));
                    if sorted {
                        members.sort_keys();
                    }
                }
                _ => panic!("{step}: {pointer} has no parent"),
            },
            Self::Remove(pointer) => match parent(reply, pointer, step) {
                (Value::Array(items), index) => drop(items.remove(index.parse().expect("an index"))),
                (Value::Object(members), name) => {
                    assert!(
                        members.shift_remove(name).is_some(),
                        "{step}: nothing recorded at {pointer}"
                    );
                }
                _ => panic!("{step}: {pointer} has no parent"),
            },
        }
    }
}

fn parent<'a>(reply: &'a mut Value, pointer: &'static str, step: &Step) -> (&'a mut Value, &'static str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer to a member");
    let place = reply
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{step}: nothing recorded at {parent}"));
    (place, name)
}

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::ThreadSummary;
use agentnet_protocol::{RawJson, Reject};
use async_nats::Message;

use super::*;
use crate::commands::top::agents::Presence;
use crate::commands::top::rows::{AgentOrder, ListOptions, agents};

const NOW: Duration = Duration::from_secs(86_400);
const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A state that has heard of an agent `acct_<name>` with this name.
pub(crate) fn with_agents(names: &[&str]) -> State {
    let mut state = State::default();
    for name in names {
        state.apply(&hello(name, None), AT, NOW);
    }
    state
}

pub(crate) fn published(subject: impl Into<String>, payload: impl Into<bytes::Bytes>) -> Message {
    let payload = payload.into();
    Message {
        subject: subject.into().into(),
        reply: None,
        length: payload.len(),
        payload,
        headers: None,
        status: None,
        description: None,
    }
}

pub(crate) fn hello(name: &str, counters: Option<AgentCounters>) -> Message {
    let info = AgentInfo {
        agent_id: "worker".into(),
        name: name.to_uppercase(),
        account_id: Some(format!("acct_{name}")),
        username: Some(name.into()),
        session_tag: Some(format!("tag_{name}")),
        ..AgentInfo::default()
    };
    let mut out = ObjectWriter::new();
    info.write(&mut out);
    if let Some(counters) = counters {
        counters.write(&mut out);
    }
    published("registry.hello", out.finish())
}

pub(crate) fn envelope(from: &str, to: &str, thread: Option<&str>, payload: &str) -> Envelope {
    Envelope {
        message_id: format!("m_{from}_{to}").into(),
        from_account_id: Some(format!("acct_{from}").into()),
        to_account_id: Some(format!("acct_{to}").into()),
        thread_id: thread.map(Into::into),
        kind: "request".into(),
        payload: RawJson::parse(payload.to_owned()).unwrap(),
        ..Envelope::default()
    }
}

pub(crate) fn sent(from: &str, to: &str, thread: Option<&str>, payload: &str) -> Message {
    published(
        format!("account.acct_{to}.inbox"),
        envelope(from, to, thread, payload).encode(),
    )
}

#[test]
fn a_message_counts_for_its_parties_its_thread_and_the_network() {
    let mut state = with_agents(&["bob"]);
    state.apply(&sent("alice", "bob", Some(" t "), r#""hi""#), AT, NOW);
    state.apply(&sent("bob", "alice", None, r#""ho""#), AT, NOW);
    let reply = envelope("bob", "alice", Some("t"), "1").encode();
    state.apply(&published("agentnet.reply.acct_alice.7", reply), AT, NOW);
    state.settle();
    let bob = state.agents.get("acct_bob").unwrap();
    assert!(bob.sent.per_second(NOW) > bob.received.per_second(NOW));
    assert!(state.agents.get("acct_alice").is_none(), "a message makes no agent");
    assert_eq!(state.threads.get("t").unwrap().messages, 2);
    assert_eq!(
        state.threads.get("thread_m_bob_alice").unwrap().messages,
        1,
        "as the registry names it"
    );
    assert_eq!(state.messages.shown().count(), 3);
    assert!(state.passing.per_second(NOW) > 0.9);
    assert_eq!(state.failing.per_second(NOW), 0.0);
}

#[test]
fn what_is_no_message_changes_nothing() {
    let mut state = State::default();
    for (subject, body) in [
        ("account.acct_b.inbox", "garbage"),
        ("account.acct_b.inbox", r#"{"kind":"no id"}"#),
        ("account.acct_b.receipts", "[]"),
        ("registry.hello", "[]"),
        ("registry.hello", r#"{"agent_id":"a"}"#),
        ("registry.goodbye", "1"),
        ("registry.list", "{}"),
        ("elsewhere", "{}"),
    ] {
        state.apply(&published(subject, body), AT, NOW);
    }
    state.settle();
    assert_eq!(state.agents.iter().count() + state.threads.iter().count(), 0);
    assert_eq!(state.messages.shown().count(), 0);
}

#[test]
fn refusals_are_errors_whoever_tells_them() {
    let mut state = with_agents(&["bob"]);
    let message = envelope("alice", "bob", None, "1");
    let tag = "tag_bob".into();
    let busy = Receipt::for_message(
        &message,
        ReceiptStatus::Rejected,
        Some(&Reject::Busy),
        &"acct_bob".into(),
        &tag,
        AT,
    );
    state.apply(&published("account.acct_alice.receipts", busy.encode()), AT, NOW);
    let one = state.failing.per_second(NOW);
    assert!(one > 0.0);
    assert_eq!(state.agents.get("acct_bob").unwrap().errors(), 1);
    // The error reply of an agent stands beside its receipt; the registry's stands alone.
    for (from, counts) in [("bob", false), ("registry_1", true)] {
        let before = state.failing.per_second(NOW);
        let reply = Envelope {
            kind: "error".into(),
            ..envelope(from, "alice", None, "1")
        };
        state.apply(&published("agentnet.reply.acct_alice.7", reply.encode()), AT, NOW);
        assert_eq!(state.failing.per_second(NOW) > before, counts, "{from}");
    }
}

#[test]
fn answers_of_the_registry_fill_in_what_was_not_heard() {
    let mut state = with_agents(&["gone"]);
    let later = NOW + Duration::from_secs(10);
    let listed = AgentInfo {
        agent_id: "w".into(),
        account_id: Some("acct_bob".into()),
        username: Some("bob".into()),
        session_tag: Some("s1".into()),
        last_seen: Some(AT.saturating_add_millis(-50_000).to_string()),
        ..AgentInfo::default()
    };
    let answer = Answer::Online {
        agents: vec![listed],
        first: true,
        last: true,
        asked: NOW + Duration::from_secs(5),
    };
    state.answer(answer, AT, later);
    let presence = |state: &State, id| state.agents.get(id).unwrap().presence(later);
    assert_eq!(presence(&state, "acct_bob"), Presence::Late, "heard 50 s ago");
    assert_eq!(presence(&state, "acct_gone"), Presence::Offline);

    let thread = ThreadSummary {
        thread_id: "t".into(),
        message_count: 7,
        participants: vec!["acct_bob".into(), "acct_carol".into()],
        ..ThreadSummary::default()
    };
    state.answer(Answer::Threads(vec![thread]), AT, later);
    assert_eq!(state.threads.get("t").unwrap().messages, 7);
    assert_eq!(state.nameless, ["acct_carol"], "bob has a name");
    assert_eq!(state.name("acct_carol"), "acct_carol");
    state.answer(Answer::Name("acct_carol".into(), Some("carol".into())), AT, later);
    assert!(state.nameless.is_empty());
    assert_eq!(state.name("acct_carol"), "@carol");
    for (party, name) in [("", "—"), ("capability:x", "capability:x"), ("acct_bob", "@bob")] {
        assert_eq!(state.name(party), name);
    }

    let rpc = "metrics";
    state.answer(Answer::Metrics(Err(RegistryError::NoRegistry { rpc })), AT, later);
    assert!(matches!(&state.registry, RegistryStatus::Silent(why) if why == "no registry answers"));
    state.sweep(later + Duration::from_secs(300));
    assert_eq!(state.agents.online(), (0, 0), "nobody tells who is there");
}

#[test]
fn an_event_of_a_mailbox_asks_for_its_counts_and_lists_its_account() {
    let mut state = with_agents(&["bob"]);
    for (subject, body) in [
        (
            "agentnet.events.acct_away.mailbox",
            r#"{"event":"queued","message_id":"m"}"#,
        ),
        ("agentnet.events.acct_bob.mailbox", "no event"),
        ("agentnet.events.acct_bob.task", "{}"),
        ("agentnet.events..mailbox", "{}"),
    ] {
        state.apply(&published(subject, body), AT, NOW);
    }
    let checks = |state: &State| state.mailboxes.next_checks(std::iter::empty(), 9, NOW);
    assert_eq!(checks(&state), ["acct_away", "acct_bob"]);
    assert_eq!(state.nameless, ["acct_away"]);

    // Offline for long, and listed as long as messages wait.
    let later = NOW + Duration::from_secs(3_600);
    let listed = |state: &State, order: AgentOrder| -> Vec<String> {
        let options = ListOptions {
            filter: "",
            order,
            is_reversed: false,
        };
        let rows = agents(state, options, later);
        rows.iter().map(|row| row.id.to_owned()).collect()
    };
    state.answer(Answer::Name("acct_away".into(), Some("away".into())), AT, later);
    assert_eq!(listed(&state, AgentOrder::Name), ["acct_bob"]);
    let counts = |waiting| MailCounts { waiting, dead: 0 };
    state.answer(Answer::Mailbox(Some("acct_away".into()), counts(3)), AT, later);
    assert_eq!(
        listed(&state, AgentOrder::Mailbox),
        ["acct_bob", "acct_away"],
        "online first"
    );
    state.answer(Answer::Mailbox(Some("acct_away".into()), counts(0)), AT, later);
    assert_eq!(listed(&state, AgentOrder::Mailbox), ["acct_bob"]);
}

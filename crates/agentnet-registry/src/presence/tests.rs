mod in_the_store;
mod mailbox_mode;
mod offline;
mod writes;

use std::cmp::Reverse;

use agentnet_protocol::RawJson;
use agentnet_protocol::json::Object;
use agentnet_protocol::rpc::{ListReply, Reply as _};
use agentnet_protocol::signing_scope::SigningScope;

use super::offline_certainty::AccountPresence;
use super::pending_writes::WriteBatch;
use super::queries::ListPage;
use super::search::{Filter, Rank};
use super::session_end::settle;
use super::state::MAX_UNISSUED;
use super::unsettled::LeftSession;
use super::*;

const TTL: Duration = Duration::from_secs(40);

struct Clock(Now);

impl Clock {
    fn new() -> Self {
        Self(Now {
            instant: Instant::now() + Duration::from_secs(3600),
            time: Timestamp::from_micros(1_771_660_800_000_000),
        })
    }

    fn at(&self, seconds: f64) -> Now {
        let later = Duration::from_secs_f64(seconds);
        Now {
            instant: self.0.instant + later,
            time: self
                .0
                .time
                .saturating_add_millis(i128::try_from(later.as_millis()).unwrap()),
        }
    }
}

fn session(tag: &str, agent_id: &str, account_id: &str, now: Now) -> Session {
    Session {
        session_tag: tag.into(),
        agent_id: agent_id.into(),
        account_id: Some(account_id.into()),
        username: Some(account_id.trim_start_matches("acct_").into()),
        server_id: "registry".into(),
        connected_at: now.time,
        disconnected_at: None,
        last_seen: now.time,
        online: true,
        name: agent_id.into(),
        capabilities: Vec::new(),
        metadata: RawJson::empty_object(),
        signs: SigningScope::default(),
    }
}

fn account(username: &str, display_name: &str, capabilities: &[&str]) -> Account {
    Account {
        account_id: format!("acct_{username}"),
        username: username.into(),
        display_name: display_name.into(),
        bio: String::new(),
        capabilities: capabilities.iter().map(|name| (*name).into()).collect(),
        metadata: RawJson::empty_object(),
        visibility: "public".into(),
        status: "active".into(),
        public_key: None,
        signs: SigningScope::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn hello(tag: &str, agent_id: &str) -> AgentInfo {
    AgentInfo {
        agent_id: agent_id.into(),
        name: agent_id.into(),
        session_tag: Some(tag.into()),
        metadata: RawJson::empty_object(),
        ..AgentInfo::default()
    }
}

impl Presence {
    /// Takes all that the store has to learn.
    fn take_all(&self, all: bool) -> WriteBatch {
        self.take_writes(&self.due_writes(all))
    }
}

fn tags(presence: &Presence) -> Vec<String> {
    let mut page = ListPage::default();
    assert!(!presence.list(None, usize::MAX, &mut page));
    listed(&page)
        .into_iter()
        .filter_map(|agent| agent.session_tag)
        .collect()
}

fn listed(page: &ListPage) -> Vec<AgentInfo> {
    let reply = ListReply::encode_written("", page.first(page.len()), None);
    ListReply::decode(&Object::parse_body(reply.as_bytes()).unwrap().unwrap())
        .unwrap()
        .agents
}

fn found(presence: &Presence, text: &str, capability: Option<&str>) -> Vec<String> {
    let filter = Filter::new(text, capability);
    let look = presence.ranking(|all| all.search(None, &filter, 100, 1000));
    assert_eq!(look.next, None);
    look.hits
        .into_iter()
        .map(|(_, hit)| format!("{}:{}", hit.username, hit.online_sessions))
        .collect()
}

#[test]
fn a_session_lives_for_its_ttl_after_its_last_sign_of_life() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    presence.insert(session("r_2", "b", "acct_b", clock.at(0.0)), clock.at(0.0));
    assert_eq!(
        presence.hello(&hello("r_2", "b"), false, clock.at(30.0)),
        HelloOutcome::Known { changed: false }
    );
    assert_eq!(presence.evict(clock.at(40.0)), 0, "not longer than the time to live");
    assert_eq!(presence.evict(clock.at(40.1)), 1);
    assert_eq!(tags(&presence), ["r_2"]);
    assert_eq!(presence.evict(clock.at(70.1)), 1);
    assert_eq!(presence.len(), 0);
}

#[test]
fn silence_does_not_count_while_nobody_could_be_heard() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    presence.reset_silence_from(clock.at(100.0));
    assert_eq!(presence.evict(clock.at(139.0)), 0);
    assert_eq!(presence.evict(clock.at(140.1)), 1);
}

#[test]
fn sessions_are_listed_by_agent_and_tag_and_paged() {
    let clock = Clock::new();
    let now = clock.at(0.0);
    let presence = Presence::new(TTL, 1, now);
    for (tag, agent_id) in [("r_4", "b"), ("r_1", "b"), ("r_3", "日本"), ("r_2", "   ")] {
        presence.insert(session(tag, agent_id, "acct_x", now), now);
    }
    assert_eq!(tags(&presence), ["r_2", "r_1", "r_4", "r_3"]);
    let mut page = ListPage::default();
    assert!(presence.list(None, 2, &mut page));
    let second = page.key(1).cloned();
    assert_eq!(listed(&page).len(), 2);
    assert!(presence.list(second.as_ref(), 2, &mut page));
    assert_eq!(listed(&page).len(), 4);
    let last = page.key(3).cloned();
    assert!(!presence.list(last.as_ref(), 2, &mut page));
    page.truncate(3);
    let seen: Vec<_> = listed(&page)
        .into_iter()
        .filter_map(|agent| agent.session_tag)
        .collect();
    assert_eq!(seen, tags(&presence)[..3]);
}

#[test]
fn a_hello_replaces_what_the_protocol_says() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(
        session("r_1", "alice_agent", "acct_alice", clock.at(0.0)),
        clock.at(0.0),
    );
    let mut agent = hello("r_1", "ignored");
    agent.account_id = Some("acct_spoofed".into());
    agent.capabilities = vec!["chat".into()];
    assert_eq!(
        tags(&presence),
        ["r_1"],
        "what is listed once is not what is listed for ever"
    );

    assert_eq!(
        presence.hello(&agent, true, clock.at(1.0)),
        HelloOutcome::Known { changed: true }
    );
    assert_eq!(presence.online("acct_alice"), 1, "a bound session keeps its account");
    assert_eq!(
        presence.hello(&agent, false, clock.at(2.0)),
        HelloOutcome::Known { changed: true }
    );
    assert_eq!((presence.online("acct_alice"), presence.online("acct_spoofed")), (0, 1));

    let mut page = ListPage::default();
    presence.list(None, 1, &mut page);
    let info = listed(&page).remove(0);
    assert_eq!(info.agent_id, "alice_agent", "the agent id is kept");
    assert_eq!(info.name, "ignored");
    assert_eq!(info.capabilities, ["chat"]);
    assert_eq!(info.username.as_deref(), Some("alice"), "what is absent is kept");
    assert_eq!(info.last_seen.as_deref(), Some("2026-02-21T08:00:02Z"));
    let short = presence.short_entry(page.key(0).unwrap()).unwrap();
    let expected = AgentInfo {
        capabilities: Vec::new(),
        ..info
    };
    assert_eq!(short, expected.encode());
    assert_eq!(
        presence.hello(&hello("r_none", "x"), false, clock.at(3.0)),
        HelloOutcome::Unknown
    );
}

#[test]
fn an_account_is_searchable_while_it_has_a_session() {
    let clock = Clock::new();
    let now = clock.at(0.0);
    let presence = Presence::new(TTL, 1, now);
    for (tag, account_id) in [
        ("r_1", "acct_alice"),
        ("r_2", "acct_bob"),
        ("r_3", "acct_bob"),
        ("r_4", "acct_ghost"),
    ] {
        presence.insert(session(tag, "agent", account_id, now), now);
    }
    presence.set_profile(account("alice", "Alice ÄRGER", &["Chat", "sum"]));
    presence.set_profile(account("bob", "Bob", &["chat"]));
    presence.set_profile(account("offline", "Offline", &["chat"]));
    assert_eq!(
        found(&presence, "", None),
        ["bob:2", "alice:1"],
        "without a profile nobody is found"
    );
    for (text, capability, expected) in [
        ("ALI", None, vec!["alice:1"]),
        ("ärg", None, vec!["alice:1"]),
        ("%", None, vec![]),
        ("", Some("CHAT"), vec!["bob:2", "alice:1"]),
        ("", Some("cha"), vec![]),
        ("bo", Some("sum"), vec![]),
    ] {
        assert_eq!(found(&presence, text, capability), expected, "{text} {capability:?}");
    }
    presence.goodbye("r_2", now);
    assert_eq!(found(&presence, "", None), ["alice:1", "bob:1"]);
    presence.set_profile(account("bob", "Robert", &[]));
    assert_eq!(found(&presence, "robert", None), ["bob:1"]);
    presence.goodbye("r_3", now);
    assert_eq!(found(&presence, "", None), ["alice:1"]);
    assert!(!presence.goodbye("r_3", now));
}

#[test]
fn a_long_ranking_is_looked_at_in_parts() {
    let clock = Clock::new();
    let now = clock.at(0.0);
    let presence = Presence::new(TTL, 1, now);
    for number in 0..25 {
        let name = format!("n{number:02}");
        presence.insert(
            session(&format!("r_{number}"), "agent", &format!("acct_{name}"), now),
            now,
        );
        presence.set_profile(account(&name, "N", &[]));
    }
    let filter = Filter::new("4", None);
    let mut after: Option<Rank> = None;
    let mut names = Vec::new();
    loop {
        let look = presence.ranking(|all| all.search(after.as_ref(), &filter, 2, 10));
        names.extend(look.hits.into_iter().map(|(rank, _)| (rank.username, rank.online)));
        after = look.next;
        if after.is_none() {
            break;
        }
    }
    let expected = ["n04", "n14", "n24"].map(|name| (name.to_owned(), Reverse(1)));
    assert_eq!(names, expected);
}

#[test]
fn who_said_goodbye_does_not_come_back_by_hearsay() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    assert!(!presence.goodbye("r_1", clock.at(1.0)), "nobody told of it yet");
    presence.adopt_stored(session("r_1", "a", "acct_a", clock.at(0.0)), false, clock.at(2.0));
    assert!(presence.restore(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(2.0)));
    assert_eq!(presence.len(), 0);
    assert_eq!(
        presence.take_all(false).ends,
        [("r_1".to_owned(), clock.at(1.0).time)],
        "the store held it as online"
    );
    presence.insert_heard(session("r_1", "a", "acct_a", clock.at(3.0)), clock.at(3.0));
    assert_eq!(presence.len(), 1, "a hello brings it back");
}

#[test]
fn a_pause_is_noticed() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    let silence = Duration::from_secs(4);
    presence.detect_pause(silence, clock.at(1.0));
    presence.detect_pause(silence, clock.at(61.0));
    assert_eq!(presence.evict(clock.at(61.0)), 0, "its hellos may be on their way");
    for second in 62..=102 {
        presence.detect_pause(silence, clock.at(f64::from(second)));
    }
    assert_eq!(presence.evict(clock.at(102.0)), 1);
}

#[test]
fn restored_sessions_keep_their_age() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(30.0));
    presence.restore(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(30.0));
    assert!(presence.take_all(true).is_empty(), "the store knows them");
    assert_eq!(
        presence.evict(clock.at(41.0)),
        0,
        "it may have spoken before this registry could hear"
    );
    assert_eq!(presence.evict(clock.at(70.1)), 1);
}

#[test]
fn an_adopted_session_does_not_replace_a_known_one() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    presence.take_all(true);
    presence.adopt_stored(session("r_1", "a", "acct_b", clock.at(0.0)), false, clock.at(1.0));
    assert_eq!(presence.online("acct_b"), 0);
    presence.adopt_stored(session("r_2", "a", "acct_b", clock.at(0.0)), false, clock.at(1.0));
    assert_eq!(presence.online("acct_b"), 1);
    assert!(presence.take_all(true).is_empty(), "it came from the store");
    let mut ended = session("r_3", "a", "acct_c", clock.at(0.0));
    ended.online = false;
    presence.adopt_stored(ended, true, clock.at(1.0));
    let upserts = presence.take_all(true).upserts;
    assert_eq!(
        (upserts.len(), upserts[0].online),
        (1, true),
        "the store learns that it is back"
    );
}

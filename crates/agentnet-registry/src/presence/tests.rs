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
fn the_store_learns_of_changes_at_once_and_of_signs_of_life_now_and_then() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    let changes = presence.take_all(false);
    assert_eq!(changes.upserts.len(), 1);
    assert!(presence.take_all(true).is_empty());

    presence.hello(&hello("r_1", "a"), false, clock.at(9.0));
    assert!(presence.take_all(true).is_empty(), "too soon");
    presence.hello(&hello("r_1", "a"), false, clock.at(10.0));
    assert!(presence.take_all(false).is_empty(), "it can wait");
    assert_eq!(
        presence.take_all(true).touches,
        [("r_1".to_owned(), clock.at(10.0).time)]
    );

    presence.hello(&hello("r_1", "renamed"), false, clock.at(11.0));
    assert_eq!(presence.take_all(false).upserts[0].name, "renamed");

    presence.touch_owned();
    assert_eq!(
        presence.take_all(true).touches,
        [("r_1".to_owned(), clock.at(11.0).time)]
    );

    presence.evict(clock.at(60.0));
    assert!(presence.take_all(true).is_empty(), "the store is asked before it ends");
}

#[test]
fn of_several_registries_one_writes() {
    let clock = Clock::new();
    let registries: Vec<Presence> = (1..=3)
        .map(|number| Presence::new(TTL, number, clock.at(0.0)))
        .collect();
    let tags: Vec<String> = (0..60).map(|number| format!("r_{number}")).collect();
    let everybody = |what: &dyn Fn(&Presence)| registries.iter().for_each(what);
    let writes = |at: &str| -> Vec<usize> {
        let taken: Vec<_> = registries.iter().map(|one| one.take_all(true)).collect();
        let count =
            |changes: &pending_writes::WriteBatch| [changes.upserts.len(), changes.touches.len(), changes.ends.len()];
        let sums = taken
            .iter()
            .map(count)
            .fold([0; 3], |sum, one| std::array::from_fn(|i| sum[i] + one[i]));
        assert!(
            taken.iter().filter(|changes| !changes.is_empty()).count() != 1,
            "{at}: they share the work"
        );
        sums.to_vec()
    };
    everybody(&|one| {
        for number in 1..=3 {
            one.replica(number, false, clock.at(0.0));
        }
    });
    let heard = |one: &Presence, name: &str, seconds: f64| {
        for tag in &tags {
            one.hello(&hello(tag, name), false, clock.at(seconds));
        }
    };
    everybody(&|one| {
        for tag in &tags {
            one.insert_heard(session(tag, "a", "acct_a", clock.at(0.0)), clock.at(0.0));
        }
    });
    assert_eq!(writes("new"), [60, 0, 0]);
    everybody(&|one| heard(one, "a", 10.0));
    assert_eq!(writes("alive"), [0, 60, 0]);
    everybody(&|one| heard(one, "renamed", 11.0));
    assert_eq!(writes("changed"), [60, 0, 0]);

    // The share of one that goes is written whole by the others when they hear it next.
    let share = tags
        .iter()
        .filter(|tag| registries[2].lock().ownership.owns(tag))
        .count();
    registries[0].replica(3, true, clock.at(12.0));
    registries[1].detect_pause(Duration::from_secs(4), clock.at(12.0));
    registries[1].replica(1, false, clock.at(12.0));
    registries[..2].iter().for_each(|one| heard(one, "renamed", 13.0));
    assert_eq!(writes("taken over"), [share, 0, 0]);
    registries[..2].iter().for_each(|one| heard(one, "renamed", 14.0));
    assert_eq!(writes("no news"), [0, 0, 0]);
    for tag in &tags {
        registries[..2]
            .iter()
            .for_each(|one| assert!(one.goodbye(tag, clock.at(15.0))));
    }
    assert_eq!(writes("gone"), [0, 0, 60]);
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
fn a_session_that_ends_before_it_was_stored_is_stored_as_ended() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    presence.goodbye("r_1", clock.at(1.0));
    let changes = presence.take_all(false);
    assert_eq!(changes.ends, []);
    assert_eq!(changes.upserts.len(), 1);
    assert_eq!(
        (changes.upserts[0].online, changes.upserts[0].disconnected_at),
        (false, Some(clock.at(1.0).time))
    );
}

#[test]
fn what_the_store_refused_is_tried_again_unless_it_is_outdated() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    for tag in ["r_1", "r_2"] {
        presence.insert(session(tag, "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    }
    let changes = presence.take_all(true);
    presence.goodbye("r_2", clock.at(1.0));
    presence.put_back(changes);
    let again = presence.take_all(true);
    assert_eq!(
        again
            .upserts
            .iter()
            .map(|session| session.session_tag.as_str())
            .collect::<Vec<_>>(),
        ["r_1"]
    );
    assert_eq!(again.ends, [("r_2".to_owned(), clock.at(1.0).time)]);

    presence.put_back(again);
    assert_eq!(presence.take_all(true).ends.len(), 1, "an end is not lost either");
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

#[test]
fn an_account_is_offline_when_no_session_of_it_can_be_alive_unheard() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let at = |account: &str, seconds| presence.account_presence(account, clock.at(seconds));
    assert_eq!(
        at("acct_old", 100.0),
        AccountPresence::Uncertain,
        "the store was not read"
    );
    assert!(!presence.restore(session("r_0", "a", "acct_old", clock.at(0.0)), clock.at(100.0)));
    presence.loaded(false, clock.at(100.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(100.0)), clock.at(100.0));
    assert_eq!(at("acct_a", 101.0), AccountPresence::Online);
    assert_eq!(
        at("acct_old", 139.0),
        AccountPresence::Uncertain,
        "a hello may bring it back"
    );
    assert_eq!(
        at("acct_old", 140.0),
        AccountPresence::Offline(Some(clock.at(0.0).time))
    );
    assert_eq!(at("acct_other", 140.0), AccountPresence::Offline(None));

    presence.goodbye("r_1", clock.at(150.0));
    assert_eq!(
        at("acct_a", 151.0),
        AccountPresence::Offline(Some(clock.at(150.0).time))
    );
    for gap in [Presence::reset_silence_from, Presence::missed] {
        presence.loaded(false, clock.at(100.0));
        gap(&presence, clock.at(160.0));
        assert_eq!(at("acct_a", 199.0), AccountPresence::Uncertain);
        assert!(!presence.knows_all(clock.at(199.0)));
        assert_eq!(
            at("acct_a", 200.0),
            AccountPresence::Offline(Some(clock.at(150.0).time))
        );
        assert!(presence.knows_all(clock.at(200.0)));
    }
}

#[test]
fn sessions_that_nobody_issued_are_bounded() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let heard = |number: usize| session(&format!("s_{number}"), "a", "acct_a", clock.at(0.0));
    for number in 0..MAX_UNISSUED {
        assert!(presence.insert_heard(heard(number), clock.at(0.0)));
    }
    assert!(!presence.insert_heard(heard(MAX_UNISSUED), clock.at(0.0)));
    assert!(presence.insert_heard(heard(7), clock.at(0.0)), "that one is there");
    presence.insert(session("own", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    assert_eq!(presence.len(), MAX_UNISSUED + 1);
    // What was stored of one from here makes no room. One that the store knew before, and one that leaves, do.
    let own = heard(3);
    presence.set_origin("s_3", own.connected_at, own.server_id);
    presence.set_origin("s_1", clock.at(0.0).time, "another".to_owned());
    presence.goodbye("s_2", clock.at(0.0));
    for (number, fits) in [(1, true), (2, true), (3, false)] {
        assert_eq!(presence.insert_heard(heard(MAX_UNISSUED + number), clock.at(0.0)), fits);
    }
}

#[test]
fn floods_do_not_keep_a_registry_unsure() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.loaded(true, clock.at(0.0));
    assert!(presence.is_warm(clock.at(1.0)));
    presence.overflowed(clock.at(1.0));
    assert!(!presence.is_warm(clock.at(40.0)), "somebody may have been lost");
    let warm = (2..400).filter(|second| {
        presence.overflowed(clock.at(f64::from(*second)));
        presence.is_warm(clock.at(f64::from(*second)))
    });
    assert!(warm.count() > 300);
    presence.overflowed(clock.at(401.0));
    assert!(!presence.is_warm(clock.at(402.0)), "that is another one");
}

#[test]
fn an_empty_store_knows_nobody_who_could_be_missed() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.loaded(true, clock.at(0.0));
    assert!(presence.is_warm(clock.at(0.0)));
    assert!(
        !presence.knows_all(clock.at(39.0)),
        "others may be there that it does not know"
    );
    presence.missed(clock.at(1.0));
    assert!(!presence.is_warm(clock.at(40.0)) && presence.is_warm(clock.at(41.0)));
}

mod in_the_store {
    use agentnet_store::{OpenOptions, Store, open};

    use super::*;

    /// A registry that has heard for its time to live, and a store that holds these sessions.
    async fn with(sessions: &[(&str, Now)]) -> (Presence, std::sync::Arc<dyn Store>) {
        let store = open("sqlite::memory:", &OpenOptions::default()).await.unwrap();
        let rows: Vec<Session> = sessions
            .iter()
            .map(|(tag, seen)| session(tag, "a", "acct_a", *seen))
            .collect();
        store.upsert_sessions(&rows).await.unwrap();
        let presence = Presence::new(TTL, 1, ago(100));
        presence.replica(2, false, ago(0));
        (presence, store)
    }

    /// A session has left the memory; the store is to be asked at `due`.
    fn leave(presence: &Presence, tag: &str, due: Now, seen: Now) {
        let left = LeftSession {
            at: seen.time,
            said_goodbye: false,
        };
        presence.lock().unsettled.add(due.instant, tag.into(), left);
    }

    fn ago(seconds: u64) -> Now {
        let now = Now::read();
        Now {
            instant: now.instant - Duration::from_secs(seconds),
            time: now.time.saturating_add_millis(-1000 * i128::from(seconds)),
        }
    }

    async fn online(store: &dyn Store) -> Vec<String> {
        let online = store.online_sessions().await.unwrap();
        online.into_iter().map(|session| session.session_tag).collect()
    }

    /// Tags that this registry owns, and that the other one owns.
    fn tags(presence: &Presence) -> [Vec<String>; 2] {
        let owns = |tag: &String| presence.lock().ownership.owns(tag);
        (0..100)
            .map(|number| format!("r_{number}"))
            .partition::<Vec<_>, _>(owns)
            .into()
    }

    #[tokio::test]
    async fn a_session_that_others_hear_is_not_ended_by_one_that_missed_it() {
        let (presence, store) = with(&[]).await;
        let [mine, theirs] = tags(&presence);
        let [silent, heard] = [ago(60), ago(20)];
        let rows = [
            (&mine[0], silent),
            (&mine[1], heard),
            (&theirs[0], silent),
            (&theirs[1], heard),
        ];
        for (tag, seen) in rows {
            store
                .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
                .await
                .unwrap();
            presence
                .lock()
                .insert(session(tag, "a", "acct_a", silent), silent.instant, true);
        }
        assert_eq!(presence.evict(Now::read()), 4);
        settle(&presence, store.as_ref(), false).await.unwrap();
        assert_eq!(online(store.as_ref()).await.len(), 4, "the store has just come back");
        presence.lock().unsettled.take_all();

        for (tag, seen) in rows {
            let asked_at = ago(if mine.contains(tag) { 0 } else { 1 });
            leave(&presence, tag, asked_at, silent);
            assert_eq!(seen.time < ago(40).time, seen.time == silent.time);
        }
        settle(&presence, store.as_ref(), true).await.unwrap();
        let mut alive = vec![mine[1].clone(), theirs[1].clone()];
        alive.sort_unstable();
        assert_eq!(online(store.as_ref()).await, alive);
        assert_eq!(presence.lock().unsettled.len(), 2, "those are looked after");
    }

    #[tokio::test]
    async fn the_owner_of_a_session_is_waited_for() {
        let (presence, store) = with(&[]).await;
        let [mine, theirs] = tags(&presence);
        let seen = ago(50);
        for tag in [&mine[0], &theirs[0]] {
            store
                .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
                .await
                .unwrap();
            presence
                .lock()
                .insert(session(tag, "a", "acct_a", seen), seen.instant, true);
        }
        presence.evict(Now::read());
        settle(&presence, store.as_ref(), true).await.unwrap();
        assert_eq!(online(store.as_ref()).await, [theirs[0].clone()]);
    }

    #[tokio::test]
    async fn a_goodbye_is_looked_after_unless_the_session_came_back() {
        let (presence, store) = with(&[]).await;
        let [_, theirs] = tags(&presence);
        for (tag, seen) in [(&theirs[0], ago(10)), (&theirs[1], ago(3))] {
            store
                .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
                .await
                .unwrap();
            presence
                .lock()
                .insert(session(tag, "a", "acct_a", ago(10)), ago(10).instant, true);
            presence.goodbye(tag, ago(5));
        }
        assert!(presence.take_all(true).is_empty(), "the other one writes it");
        settle(&presence, store.as_ref(), false).await.unwrap();
        assert_eq!(online(store.as_ref()).await.len(), 2, "in its time");
        let waiting = presence.lock().unsettled.take_all();
        for ((due, tag), left) in waiting {
            assert!(due > Now::read().instant);
            presence.lock().unsettled.add(ago(0).instant, tag, left);
        }
        settle(&presence, store.as_ref(), false).await.unwrap();
        assert_eq!(online(store.as_ref()).await, [theirs[1].clone()]);
    }

    #[tokio::test]
    async fn many_are_asked_for_at_once_and_one_that_lives_here_is_left_alone() {
        let (presence, store) = with(&[]).await;
        let silent = ago(60);
        let rows: Vec<Session> = (0..700)
            .map(|number| session(&format!("r_{number:03}"), "a", "acct_a", silent))
            .collect();
        store.upsert_sessions(&rows).await.unwrap();
        for row in rows {
            leave(&presence, &row.session_tag, silent, silent);
        }
        presence.insert_heard(session("r_699", "a", "acct_a", silent), Now::read());
        settle(&presence, store.as_ref(), true).await.unwrap();
        assert_eq!(online(store.as_ref()).await, ["r_699"]);
        assert!(presence.lock().unsettled.len() == 0);
    }
}

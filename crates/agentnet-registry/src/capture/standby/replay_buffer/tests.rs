use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use bytes::Bytes;

use super::super::super::proof::Proof;
use super::super::TappedMessage;
use super::super::leader::Leader;
use super::{BYTES_PER_MESSAGE, CONFIRM_AGE, Change, Leadership, MAX_CATCH_UP_TIME, ReplayBuffer, SETTLE_TIME};

/// A buffer with a clock of its own.
struct Scene {
    start: Instant,
    buffer: ReplayBuffer,
}

fn leader(name: &str, term: u32) -> Option<Leader> {
    Some(Leader {
        name: name.to_owned(),
        term: term.to_string(),
    })
}

impl Scene {
    /// No leader is known.
    fn new() -> Self {
        Self {
            start: Instant::now(),
            buffer: ReplayBuffer::default(),
        }
    }

    /// `n1` has led for a long time.
    fn led() -> Self {
        let mut scene = Self::new();
        scene.buffer.leadership = Leadership::Settled(leader("n1", 1).unwrap(), scene.start);
        scene
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn push(&mut self, name: &'static str, millis: u64) {
        self.push_tapped(name, millis, true);
    }

    fn push_tapped(&mut self, name: &'static str, millis: u64, streamed: bool) {
        let at = self.at(millis);
        self.buffer.push(TappedMessage {
            proof: Proof::NotNeeded,
            body: Bytes::from_static(name.as_bytes()),
            at,
            received_at: Timestamp::from_micros(0),
            streamed,
        });
    }

    /// The leader is asked at this time and answers 10 ms later.
    fn ask_leader(&mut self, millis: u64, leader: Option<Leader>) -> Change {
        let (asked, answered) = (self.at(millis), self.at(millis + 10));
        self.buffer.leader_answered(asked, answered, leader)
    }

    fn settle(&mut self, millis: u64, caught_up: bool) -> Change {
        let now = self.at(millis);
        self.buffer.settle(now, caught_up)
    }

    /// Everything that is to be stored now.
    fn due(&mut self) -> Vec<String> {
        let due = std::iter::from_fn(|| self.buffer.next_due());
        due.map(|heard| String::from_utf8(heard.body.to_vec()).unwrap())
            .collect()
    }

    fn held(&self) -> usize {
        self.buffer.held.len()
    }
}

const MARGIN_MS: u64 = CONFIRM_AGE.as_millis() as u64;
const SETTLE_MS: u64 = SETTLE_TIME.as_millis() as u64;

#[test]
fn a_leader_that_goes_on_answering_confirms_what_is_older_than_the_margin() {
    let mut scene = Scene::led();
    scene.push("a", 0);
    scene.push("b", 100);
    for (asked, held) in [
        (MARGIN_MS - 1, 2),
        (MARGIN_MS, 1),
        (MARGIN_MS + 99, 1),
        (MARGIN_MS + 100, 0),
    ] {
        assert_eq!(scene.ask_leader(asked, leader("n1", 1)), Change::None);
        assert_eq!(scene.held(), held, "asked at {asked}");
    }
    assert!(scene.due().is_empty());
    assert_eq!(scene.buffer.bytes, 0);
}

#[test]
fn without_the_same_leader_nothing_is_confirmed() {
    for (what, answer) in [
        ("nobody", None),
        ("another", leader("n2", 2)),
        ("the same, elected again", leader("n1", 2)),
    ] {
        let mut scene = Scene::led();
        scene.push("a", 0);
        scene.push("b", 100);
        assert_eq!(
            scene.ask_leader(60_000, answer),
            Change::LeaderLost { held: 2 },
            "{what}"
        );
        assert_eq!(scene.due(), ["a", "b"], "{what}");
        scene.push("c", 60_100);
        assert_eq!(scene.due(), ["c"], "{what}: what comes then is stored at once");
        assert!(!scene.buffer.is_settled(scene.start));
    }
    let mut scene = Scene::led();
    scene.push("a", 0);
    assert_eq!(
        scene.buffer.lose_leader(),
        Change::LeaderLost { held: 1 },
        "an election was heard of"
    );
    assert_eq!(scene.due(), ["a"]);
}

#[test]
fn a_new_leader_is_trusted_when_it_has_settled_and_all_from_before_is_worked_off() {
    let answered = 10;
    let settled = answered + SETTLE_MS;
    let late = settled + MAX_CATCH_UP_TIME.as_millis() as u64;
    for (now, caught_up, sure) in [
        (settled - 1, true, false),
        (settled, true, true),
        (settled, false, false),
        (late - 1, false, false),
        (late, false, true),
    ] {
        let mut scene = Scene::led();
        scene.push("a", 0);
        scene.ask_leader(0, leader("n2", 2));
        scene.push("b", 500);
        assert_eq!(scene.ask_leader(500, leader("n2", 2)), Change::None);
        let change = scene.settle(now, caught_up);
        let expected = match sure {
            true => Change::LeaderSettled {
                leader: "n2".to_owned(),
                stored: 2,
            },
            false => Change::None,
        };
        assert_eq!(change, expected, "at {now}, caught up: {caught_up}");
        scene.push("c", now);
        assert_eq!(scene.held(), usize::from(sure));
        assert_eq!(scene.due().len(), 3 - usize::from(sure));
    }
}

#[test]
fn a_leader_that_falls_silent_while_it_settles_starts_anew() {
    let mut scene = Scene::led();
    scene.ask_leader(0, None);
    scene.ask_leader(1000, leader("n2", 2));
    scene.ask_leader(1500, None);
    assert_eq!(scene.settle(1000 + SETTLE_MS + 10, true), Change::None);
    scene.ask_leader(4000, leader("n2", 2));
    assert_eq!(scene.settle(4000 + SETTLE_MS, true), Change::None);
    assert!(matches!(
        scene.settle(4010 + SETTLE_MS, true),
        Change::LeaderSettled { .. }
    ));
}

#[test]
fn a_start_is_no_news() {
    let mut scene = Scene::new();
    scene.push("a", 0);
    assert_eq!(scene.ask_leader(0, leader("n1", 1)), Change::None);
    assert_eq!(scene.settle(10 + SETTLE_MS, true), Change::None);
    assert!(scene.buffer.is_settled(scene.at(0)));
    assert_eq!(scene.due(), ["a"], "nobody knows who led before");
}

#[test]
fn what_no_stream_keeps_is_stored_at_once() {
    let mut scene = Scene::led();
    scene.push_tapped("reply", 0, false);
    scene.push("a", 0);
    assert_eq!(scene.due(), ["reply"]);
    assert_eq!(scene.held(), 1);
}

#[test]
fn beyond_the_limit_the_oldest_is_stored_and_nothing_more_is_taken() {
    let mut scene = Scene::led();
    scene.buffer.limit = 2 * (1 + BYTES_PER_MESSAGE);
    scene.push("a", 0);
    assert!(!scene.buffer.is_full());
    scene.push("b", 0);
    assert!(scene.buffer.is_full() && scene.buffer.has_due());
    assert_eq!(scene.due(), ["a"]);
    assert!(!scene.buffer.is_full());
    assert_eq!(scene.buffer.bytes, 1 + BYTES_PER_MESSAGE);
    scene.buffer.lose_leader();
    scene.push("c", 1);
    assert!(scene.buffer.is_full());
    assert_eq!(scene.due(), ["b", "c"]);
    assert_eq!(scene.buffer.bytes, 0);
}

#[test]
fn only_an_answer_to_a_later_question_makes_sure_of_the_last_messages() {
    let mut scene = Scene::led();
    let stopped = scene.at(100);
    assert!(!scene.buffer.is_settled(stopped));
    scene.ask_leader(99, leader("n1", 1));
    assert!(!scene.buffer.is_settled(stopped), "asked before");
    scene.ask_leader(100, leader("n1", 1));
    assert!(scene.buffer.is_settled(stopped));
}

#[test]
fn a_stop_leaves_nothing() {
    let mut scene = Scene::led();
    scene.push_tapped("reply", 0, false);
    scene.push("a", 1);
    let rest: Vec<Bytes> = scene.buffer.into_rest().map(|heard| heard.body).collect();
    assert_eq!(rest, ["reply", "a"]);
}

use rstest::rstest;

use super::*;
use crate::memory::estimate;
use crate::model::ChatMessage;

#[rstest]
#[case(0, 60, 0)]
#[case(36, 60, 36)]
#[case(60, 60, 60)]
#[case(61, 60, 0)]
#[case(-1, 60, 0)]
fn a_checkpoint_covers_what_there_is(#[case] latest: i64, #[case] count: u64, #[case] expected: u64) {
    assert_eq!(possible_end(latest, count), expected);
}

#[test]
fn a_thread_is_compacted_once_at_a_time() {
    let compactor = Compactor::default();
    let running = compactor.begin("t");
    assert!(running.is_some() && compactor.begin("t").is_none() && compactor.begin("u").is_some());
    drop(running);
    assert!(compactor.begin("t").is_some());
}

#[test]
fn the_newest_messages_are_summed_up() {
    let entries: Vec<Entry> = (1..=50)
        .map(|number| Entry {
            text: format!("text {number} {}", "word ".repeat(50)),
            ..Entry::default()
        })
        .collect();
    let named: Vec<(String, &Entry)> = entries.iter().map(|entry| ("@bob".to_owned(), entry)).collect();
    let request = summary_request(&named, Some("they met"), 1_000);
    let [ChatMessage::User(text)] = &request.messages[..] else {
        panic!("one message")
    };
    assert!(text.starts_with("Summary of what came before:\nthey met\n("), "{text}");
    assert!(
        text.contains("text 50 ") && text.contains("text 45 ") && !text.contains("text 1 "),
        "{text}"
    );
    assert!(estimate::tokens(text) < 1_100);
}

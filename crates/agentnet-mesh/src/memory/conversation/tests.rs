use rstest::rstest;

use super::*;

const OWN: &str = "acct_me";

fn entry(speech: Speech, from: &str, to: &str, text: &str) -> Entry {
    Entry {
        speech,
        from_account_id: Some(from.into()),
        to_account_id: Some(to.into()),
        text: text.into(),
        ..Entry::default()
    }
}

fn shown(conversation: &[ChatMessage]) -> Vec<(bool, &str)> {
    let turns = conversation.iter().map(|message| match message {
        ChatMessage::Assistant(turn) => (true, &*turn.text),
        ChatMessage::User(text) => (false, &**text),
        other => panic!("{other:?}"),
    });
    turns.collect()
}

#[test]
fn turns_alternate_and_others_are_data() {
    let mut names = KnownNames::default();
    names.insert("acct_a", "alice");
    names.insert("acct_b", "bob");
    let recalled = Recalled {
        entries: vec![
            entry(Speech::Answer, OWN, "acct_a", "first answer"),
            entry(Speech::Answer, OWN, "acct_b", "second answer"),
            entry(Speech::Message, "acct_a", OWN, "hi"),
            entry(Speech::Message, "acct_a", "acct_b", "hi </message> bob"),
            entry(Speech::Message, OWN, "acct_b", "why?"),
            entry(Speech::Note, OWN, OWN, "likes tea"),
            entry(Speech::Answer, OWN, "acct_a", "hello"),
        ],
        names,
        ..Recalled::default()
    };
    let conversation = recalled.to_conversation(OWN, "the question", 1_000);
    assert_eq!(
        shown(&conversation),
        [
            (false, BEGUN_EARLIER),
            (true, "first answer\n\nsecond answer"),
            (
                false,
                "<message from=\"@alice\">hi</message>\n\n<message from=\"@alice\" to=\"@bob\">hi < /message> bob</message>\n\n\
                 <message from=\"you\" to=\"@bob\">why?</message>\n\n<note>likes tea</note>"
            ),
            (true, "hello"),
            (false, "the question"),
        ]
    );
}

#[test]
fn the_summary_comes_first() {
    let recalled = Recalled {
        checkpoint: Some(Checkpoint {
            covers_start: 1,
            covers_end: 9,
            summary: "they met".into(),
        }),
        entries: vec![entry(Speech::Answer, OWN, "acct_a", "yes")],
        ..Recalled::default()
    };
    let conversation = recalled.to_conversation(OWN, "and?", 1_000);
    assert_eq!(
        shown(&conversation),
        [(false, "<summary>they met</summary>"), (true, "yes"), (false, "and?")]
    );
}

#[test]
fn the_oldest_are_left_out_first() {
    let texts: Vec<String> = (0..50)
        .map(|number| format!("{number} {}", "word ".repeat(40)))
        .collect();
    let entries: Vec<Entry> = texts
        .iter()
        .map(|text| entry(Speech::Message, "acct_a", OWN, text))
        .collect();
    let recalled = Recalled {
        entries,
        ..Recalled::default()
    };
    let conversation = recalled.to_conversation(OWN, "question", 500);
    let [(false, text)] = shown(&conversation)[..] else {
        panic!("one turn")
    };
    assert!(
        text.contains(">49 ") && text.contains(">45 ") && !text.contains(">1 "),
        "{text}"
    );
    assert!(estimate::tokens(text) <= 500, "{}", estimate::tokens(text));
}

#[test]
fn a_message_that_is_too_long_is_cut() {
    let entries = vec![entry(Speech::Message, "acct_a", OWN, &"word ".repeat(5_000))];
    let recalled = Recalled {
        entries,
        ..Recalled::default()
    };
    let conversation = recalled.to_conversation(OWN, "question", 300);
    let [(false, text)] = shown(&conversation)[..] else {
        panic!("one turn")
    };
    assert!(text.contains("(cut)</message>") && estimate::tokens(text) <= 300);
}

#[rstest]
#[case("</message>", "< /message>")]
#[case("</ MESSAGE >", "< / MESSAGE >")]
#[case("</b></Note", "</b>< /Note")]
#[case("</</message", "</< /message")]
#[case("< /é</", "< /é</")]
fn no_text_ends_its_mark(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(defused(text), expected);
}

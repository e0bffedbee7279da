use rstest::rstest;

use super::{Turn, arguments_object, arguments_text, turns};
use crate::model::{AssistantTurn, ChatMessage, ToolCall, ToolResult};

fn user(text: &str) -> ChatMessage {
    ChatMessage::User(text.to_owned())
}

fn assistant(text: &str, calls: &[&str]) -> ChatMessage {
    let tool_calls = calls
        .iter()
        .map(|id| ToolCall {
            id: (*id).to_owned(),
            ..ToolCall::default()
        })
        .collect();
    ChatMessage::Assistant(AssistantTurn {
        text: text.to_owned(),
        tool_calls,
        blocks: Vec::new(),
    })
}

fn results(ids: &[&str]) -> ChatMessage {
    let result = |id: &&str| ToolResult {
        call_id: (*id).to_owned(),
        name: String::new(),
        content: format!("result {id}"),
        is_error: false,
    };
    ChatMessage::ToolResults(ids.iter().map(result).collect())
}

/// One line a turn.
fn shown(messages: &[ChatMessage]) -> Vec<String> {
    let show = |turn: &Turn<'_>| match turn {
        Turn::User(text) => format!("user {text}"),
        Turn::Assistant(turn) => {
            let calls: Vec<_> = turn.tool_calls.iter().map(|call| call.id.as_str()).collect();
            format!("assistant {} [{}]", turn.text, calls.join(","))
        }
        Turn::Results(results) => {
            let shown = |result: &std::borrow::Cow<'_, ToolResult>| match result.is_error {
                true => format!("{} cancelled", result.call_id),
                false => format!("{} {}", result.call_id, result.content),
            };
            results.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
    };
    turns(messages).iter().map(show).collect()
}

#[rstest]
#[case::as_it_is(vec![user("a"), assistant("b", &[]), user("c")], &["user a", "assistant b []", "user c"])]
#[case::users_are_joined(vec![user("a"), user("b")], &["user a\n\nb"])]
#[case::answers_are_joined(vec![user("a"), assistant("b", &[]), assistant("c", &["1"]), results(&["1"])],
    &["user a", "assistant b\n\nc [1]", "1 result 1"])]
#[case::empty_answers_are_left_out(vec![user("a"), assistant(" ", &[]), user("b")], &["user a\n\nb"])]
#[case::no_text(vec![user("")], &["user (empty message)"])]
#[case::no_messages(vec![], &["user (empty message)"])]
#[case::begins_with_a_user(vec![assistant("a", &[]), user("b")],
    &["user (empty message)", "assistant a []", "user b"])]
#[case::results_in_the_order_of_the_calls(vec![user("a"), assistant("", &["1", "2"]), results(&["2", "1"])],
    &["user a", "assistant  [1,2]", "1 result 1, 2 result 2"])]
#[case::missing_results(vec![user("a"), assistant("", &["1", "2"]), results(&["2"])],
    &["user a", "assistant  [1,2]", "1 cancelled, 2 result 2"])]
#[case::no_results_before_a_user(vec![user("a"), assistant("", &["1"]), user("b")],
    &["user a", "assistant  [1]", "1 cancelled", "user b"])]
#[case::no_results_at_the_end(vec![user("a"), assistant("", &["1"])], &["user a", "assistant  [1]", "1 cancelled"])]
#[case::results_without_calls(vec![user("a"), results(&["1"]), user("b")], &["user a\n\nb"])]
#[case::results_of_other_calls(vec![user("a"), assistant("", &["1"]), results(&["1", "7"])],
    &["user a", "assistant  [1]", "1 result 1"])]
#[case::results_twice(vec![user("a"), assistant("", &["1"]), results(&["1"]), results(&["1"])],
    &["user a", "assistant  [1]", "1 result 1"])]
fn order(#[case] messages: Vec<ChatMessage>, #[case] expected: &[&str]) {
    assert_eq!(shown(&messages), expected);
}

#[rstest]
#[case("", "{}", "{}")]
#[case("  ", "{}", "{}")]
#[case(r#"{ "a" : 1 }"#, r#"{"a":1}"#, r#"{ "a" : 1 }"#)]
#[case("[1]", r#"{"invalid_arguments":"[1]"}"#, r#"{"invalid_arguments":"[1]"}"#)]
#[case(
    r#"{"a":"#,
    r#"{"invalid_arguments":"{\"a\":"}"#,
    r#"{"invalid_arguments":"{\"a\":"}"#
)]
fn arguments(#[case] written: &str, #[case] object: &str, #[case] text: &str) {
    assert_eq!(arguments_object(written).to_string(), object);
    assert_eq!(arguments_text(written), text);
}

use agentnet::protocol::rpc::ClaimedTask;
use agentnet::{TaskSnapshot, TaskState};
use rstest::rstest;

use super::*;
use crate::agent::failure::{LIMIT_REACHED, MODEL_UNAVAILABLE};
use crate::config::TasksConfig;
use crate::usage::fixtures::agent;

fn claimed(title: Option<&str>, text: &str, payload: Option<Value>) -> ClaimedWork {
    ClaimedWork::from(ClaimedTask {
        task: TaskSnapshot {
            task_id: "task_1".into(),
            title: title.map(str::to_owned),
            assigned_text: text.into(),
            coordinator: Some("boss".into()),
            coordinator_account_id: Some("acct_boss".into()),
            thread_id: Some("t1".into()),
            metadata: RawJson::from(json!({ "mesh": { "hops": 2, "chain": ["acct_user", "acct_boss"], "tasks": 7 } })),
            ..TaskSnapshot::default()
        },
        payload: payload.map(RawJson::from),
        ..ClaimedTask::default()
    })
}

#[rstest]
#[case::all(Some(" count "), "Count the files.", Some(json!({ "path": "/" })), "Task: count\n\nCount the files.\n\nData:\n{\"path\":\"/\"}")]
#[case::text_alone(None, "Count.", None, "Task:\n\nCount.")]
#[case::title_alone(Some("count"), " ", None, "Task: count")]
#[case::a_text_as_data(None, "", Some(json!("a\nb")), "Task:\n\nData:\na\nb")]
fn a_task_is_a_text_for_the_model(
    #[case] title: Option<&str>,
    #[case] text: &str,
    #[case] payload: Option<Value>,
    #[case] expected: &str,
) {
    assert_eq!(text_of(&claimed(title, text, payload)), expected);
}

#[test]
fn an_answer_and_what_an_earlier_attempt_left_are_shown_too() {
    let mut work = claimed(None, "Go on.", None);
    work.checkpoint = Some(RawJson::from(json!({ "step": 3 })));
    work.input = Some(RawJson::from(json!("the main branch")));
    assert_eq!(
        text_of(&work),
        "Task:\n\nGo on.\n\nLeft by an earlier attempt:\n{\"step\":3}\n\nAnswer to a question about the task:\nthe main branch"
    );
}

#[test]
fn a_task_stands_as_a_message_of_its_coordinator() {
    let message = message_of(&claimed(None, "Count.", None));
    assert!(!message.wants_reply());
    assert_eq!(
        (&*message.message_id, &*message.kind, message.text().as_deref()),
        ("task_1", "task", Some("Task:\n\nCount."))
    );
    assert_eq!(thread_of(&message), "t1");
    let chain = CallChain::of(&message);
    assert_eq!((chain.hops, chain.tasks), (2, 7));
    assert_eq!(&*chain.waiting, ["acct_user".to_owned(), "acct_boss".to_owned()]);
}

#[rstest]
#[case::cancelled(AnswerFailure::new(CANCELLED, "x"), TaskState::Canceled, false)]
#[case::host_stops(AnswerFailure::stopping(), TaskState::Submitted, false)]
#[case::limit(AnswerFailure::new(LIMIT_REACHED, "x"), TaskState::Failed, false)]
#[case::bad_key(AnswerFailure::new(MODEL_UNAVAILABLE, "x"), TaskState::Failed, false)]
#[case::provider_down(AnswerFailure { is_transient: true, ..AnswerFailure::new(MODEL_UNAVAILABLE, "x") }, TaskState::Failed, true)]
fn a_failure_ends_the_task_as_it_says(
    #[case] failure: AnswerFailure,
    #[case] state: TaskState,
    #[case] is_retryable: bool,
) {
    let code = failure.code;
    let expected = match state {
        TaskState::Canceled => TaskFailure::canceled(),
        TaskState::Submitted => TaskFailure::released(),
        _ if is_retryable => TaskFailure::retryable(code, "x"),
        _ => TaskFailure::failed(code, "x"),
    };
    assert_eq!(to_task_failure(failure), expected);
}

#[test]
fn tasks_have_limits_of_their_own() {
    let mut config = agent("planner");
    config.limits.max_hops = 3;
    let tasks = TasksConfig {
        concurrency: 2,
        max_steps: 50,
        max_tool_calls: 100,
        max_time: Duration::from_secs(3600),
    };
    let limits = tasks.limits(&config.limits);
    assert_eq!(
        (
            limits.max_steps,
            limits.max_tool_calls,
            limits.max_time,
            limits.max_hops
        ),
        (50, 100, Duration::from_secs(3600), 3)
    );
}

#[rstest]
#[case::small("done", 0, "done", true)]
#[case::with_many_results("done", 230_000, "done", true)]
#[case::long_text(&"x".repeat(230_000), 0, "x", true)]
#[case::four_bytes_each(&"\u{1f600}".repeat(60_000), 0, "\u{1f600}", false)]
fn a_result_fits_into_what_the_registry_keeps(
    #[case] text: &str,
    #[case] results: usize,
    #[case] begins: &str,
    #[case] has_task: bool,
) {
    let reply = json!({ "text": text, "tool_results": ["r".repeat(results)] });
    let result = result_of(reply, text, "count");
    assert!(result["text"].as_str().unwrap().starts_with(begins));
    assert_eq!(result.get(TASK_MEMBER).is_some(), has_task);
    let size = ascii(&result.to_string()).len();
    assert!(size <= agentnet::protocol::task::MAX_RESULT_BYTES, "{size}");
}

//! Answers: one reply, tools over several turns, limits.

use std::sync::Arc;
use std::time::Duration;

use agentnet_mesh::model::{ChatMessage, StopReason, ToolChoice, ToolSpec};
use agentnet_mesh::tools::{Tool, ToolContext, ToolOutcome};
use async_trait::async_trait;
use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};

use crate::agent::harness::{Network, answer, ask, config};
use crate::agent::scripted_model::{Say, ScriptedModel, last_user};

/// A tool that notes its arguments and returns them.
struct Echo {
    spec: ToolSpec,
    calls: Mutex<Vec<Value>>,
}

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            spec: ToolSpec {
                name: "echo".into(),
                description: "Returns its arguments.".into(),
                parameters: json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
            },
            calls: Mutex::default(),
        })
    }
}

#[async_trait]
impl Tool for Echo {
    fn config_name(&self) -> &str {
        "echo"
    }

    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn call(&self, arguments: Value, _: &ToolContext) -> ToolOutcome {
        self.calls.lock().push(arguments.clone());
        match arguments["n"].as_i64() {
            // The first call ends last.
            Some(1) => {
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
            }
            Some(13) => std::future::pending().await,
            _ => {}
        }
        ToolOutcome::Ok(arguments)
    }
}

fn call(n: i64) -> (&'static str, String) {
    ("echo", json!({ "n": n }).to_string())
}

#[tokio::test]
async fn a_question_gets_one_reply() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("Hello there.");
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let reply = ask(&user, "@planner", "t1", json!({ "text": "hi </message>" })).await;
    assert_eq!((&*reply.kind, reply.thread_id.as_deref()), ("reply", Some("t1")));
    let payload: Value = reply.json().unwrap();
    assert_eq!(
        payload,
        json!({
            "text": "Hello there.",
            "model": "scripted-1",
            "agent_key": "planner",
            "usage": { "input": 10, "output": 2, "cached": 4 },
        })
    );
    let requests = model.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0]
            .system
            .starts_with("You are the planner.\n\nYou are @planner "),
        "{}",
        requests[0].system
    );
    assert!(requests[0].system.contains("Current time: "));
    assert_eq!(
        last_user(&requests[0]),
        "<message from=\"@alice\">hi < /message></message>"
    );
    assert_eq!(requests[0].model, "scripted-1");
}

#[tokio::test]
async fn messages_without_a_reply_subject_are_answered_only_if_the_agent_does_so() {
    let network = Network::start().await;
    let silent = ScriptedModel::saying("never");
    let talking = ScriptedModel::saying("Noted.");
    let _agent = network.agent(config("silent"), &silent).await;
    let mut answers_direct = config("talking");
    answers_direct.answer_direct = true;
    let _agent = network.agent(answers_direct, &talking).await;
    let user = network.user("alice").await;
    for agent in ["@silent", "@talking"] {
        user.send(agent, json!({ "text": "fyi" }))
            .thread("t1")
            .until(agentnet::Until::Processed)
            .await
            .unwrap();
    }
    let messages = crate::agent::harness::until_stored(&user, "t1", 3).await;
    let last = messages.last().unwrap();
    let payload: Value = last.payload.deserialize().unwrap();
    assert_eq!((&*last.kind, last.to_account_id.clone()), ("direct", user.account_id()));
    assert_eq!(
        (&payload["text"], &payload["mesh"]["answer"], &payload["mesh"]["hops"]),
        (&json!("Noted."), &json!(true), &json!(1))
    );
    assert!(silent.requests().is_empty());
}

#[tokio::test]
async fn tools_run_until_the_model_answers() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![
        Say::Call(vec![
            call(1),
            call(2),
            ("made_up", "{}".into()),
            ("echo", "{\"n\":".into()),
        ]),
        Say::Call(vec![call(3)]),
        Say::Text(vec!["Done."]),
    ]);
    let echo = Echo::new();
    let mut with_results = config("planner");
    with_results.reply.include_tool_results = true;
    let agent = network.agent_with(with_results, &model, vec![echo.clone()]).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@planner", "t1", "go").await;
    assert_eq!(payload["text"], "Done.");
    assert_eq!(payload["usage"], json!({ "input": 30, "output": 6, "cached": 12 }));
    let results = payload["tool_results"].as_array().unwrap();
    assert_eq!(results[0], json!({ "ok": true, "tool": "echo", "result": { "n": 1 } }));
    let errors: Vec<&Value> = results.iter().map(|result| &result["error"]).collect();
    assert_eq!(
        errors,
        [
            &Value::Null,
            &Value::Null,
            &json!("tool_not_found"),
            &json!("bad_args"),
            &Value::Null
        ]
    );
    assert_eq!(echo.calls.lock().len(), 3);

    let requests = model.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].tools.len(), 1);
    let [.., ChatMessage::Assistant(turn), ChatMessage::ToolResults(results)] = &requests[1].messages[..] else {
        panic!("{:?}", requests[1].messages);
    };
    let ids = |calls: Vec<&str>| calls.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let called = ids(turn.tool_calls.iter().map(|call| &*call.id).collect());
    assert_eq!(called, ids(results.iter().map(|result| &*result.call_id).collect()));
    assert_eq!(called.len(), 4);
    let counters = agent.metrics.encode();
    assert!(
        counters.contains("agentnet_mesh_tool_calls_total{tool=\"echo\",ok=\"true\"} 3"),
        "{counters}"
    );
    assert!(!counters.contains("made_up"), "{counters}");
}

#[rstest]
#[case::steps(|limits: &mut agentnet_mesh::config::LimitsConfig| limits.max_steps = 3, "max_steps", 4)]
#[case::tools(|limits: &mut agentnet_mesh::config::LimitsConfig| limits.max_tool_calls = 2, "max_tool_calls", 3)]
#[tokio::test]
async fn a_model_that_never_stops_calling_tools_is_asked_once_more(
    #[case] change: fn(&mut agentnet_mesh::config::LimitsConfig),
    #[case] limit: &str,
    #[case] calls: usize,
) {
    let network = Network::start().await;
    let model = ScriptedModel::new(|request, number| match request.tool_choice {
        ToolChoice::Auto => Say::Call(vec![call(number as i64 + 100)]),
        ToolChoice::None => Say::Text(vec!["That is how far I came."]),
    });
    let mut limited = config("planner");
    change(&mut limited.limits);
    let _agent = network.agent_with(limited, &model, vec![Echo::new()]).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@planner", "t1", "go").await;
    assert_eq!(
        (&payload["text"], &payload["limit"]),
        (&json!("That is how far I came."), &json!(limit))
    );
    let requests = model.requests();
    assert_eq!(requests.len(), calls);
    assert!(
        !requests.last().unwrap().tools.is_empty(),
        "APIs want the tools that the conversation names"
    );
}

#[tokio::test]
async fn at_a_limit_without_a_text_the_error_says_so() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, _| Say::Call(vec![call(7)]));
    let mut limited = config("planner");
    limited.limits.max_steps = 2;
    let _agent = network.agent_with(limited, &model, vec![Echo::new()]).await;
    let user = network.user("alice").await;
    let reply = ask(&user, "@planner", "t1", json!({ "text": "go" })).await;
    assert_eq!(reply.error_code().as_deref(), Some("limit_reached"));
    assert!(
        reply.text().unwrap().contains("2 calls of the model"),
        "{}",
        reply.payload()
    );
}

#[tokio::test]
async fn calls_beyond_the_limit_get_a_result_too() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![
        Say::Call((0..6).map(|n| call(n + 20)).collect()),
        Say::Text(vec!["Enough."]),
    ]);
    let echo = Echo::new();
    let mut limited = config("planner");
    limited.limits.max_tool_calls = 4;
    let _agent = network.agent_with(limited, &model, vec![echo.clone()]).await;
    let user = network.user("alice").await;
    answer(&user, "@planner", "t1", "go").await;
    assert_eq!(echo.calls.lock().len(), 4);
    let Some(ChatMessage::ToolResults(results)) = model.requests()[1].messages.last().cloned() else {
        panic!("no results");
    };
    let failed: Vec<bool> = results.iter().map(|result| result.is_error).collect();
    assert_eq!(failed, [false, false, false, false, true, true]);
    assert!(results[5].content.contains("limit_reached"), "{}", results[5].content);
}

#[tokio::test]
async fn a_tool_that_hangs_ends_with_the_time_of_the_message() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Call(vec![call(13), call(2)]), Say::Text(vec!["Without it."])]);
    let mut limited = config("planner");
    limited.limits.max_time = Duration::from_secs(2);
    let _agent = network.agent_with(limited, &model, vec![Echo::new()]).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@planner", "t1", "go").await;
    assert_eq!(
        (&payload["text"], &payload["limit"]),
        (&json!("Without it."), &json!("max_seconds"))
    );
}

#[tokio::test]
async fn an_answer_that_was_paused_goes_on() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Nothing(StopReason::Paused), Say::Text(vec!["Now."])]);
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    assert_eq!(answer(&user, "@planner", "t1", "go").await["text"], "Now.");
    assert_eq!(model.requests().len(), 2);
}

#[tokio::test]
async fn a_new_configuration_counts_from_the_next_message_on() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("Yes.");
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    answer(&user, "@planner", "t1", "one").await;
    let mut changed = config("planner");
    changed.prompt = "You are someone else.".into();
    agent.responder.replace(crate::agent::harness::parts(
        changed,
        &model,
        Vec::new(),
        agent.metrics.clone(),
    ));
    answer(&user, "@planner", "t1", "two").await;
    let prompts: Vec<bool> = model
        .requests()
        .iter()
        .map(|request| request.system.starts_with("You are someone else."))
        .collect();
    assert_eq!(prompts, [false, true]);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_cut() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, _| Say::Owned("é".repeat(100_000)));
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@planner", "t1", "a long one").await;
    assert_eq!(payload["truncated"], true);
    assert_eq!(payload["text"].as_str().unwrap().chars().count(), 20_000);
}

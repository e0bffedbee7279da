use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rstest::rstest;
use serde_json::json;

use super::super::test_context::{any_spec, call, context};
use super::*;

/// Returns its arguments after a while.
struct Echo {
    config_name: String,
    spec: ToolSpec,
    pause: Duration,
    was_dropped: Arc<AtomicBool>,
}

impl Echo {
    fn new(config_name: &str) -> Self {
        Self {
            config_name: config_name.to_owned(),
            spec: any_spec(config_name),
            pause: Duration::ZERO,
            was_dropped: Arc::default(),
        }
    }

    fn with_parameters(mut self, parameters: Value) -> Self {
        self.spec.parameters = parameters;
        self
    }

    fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

/// Notes that a call was dropped before its end.
struct DropNote(Option<Arc<AtomicBool>>);

impl Drop for DropNote {
    fn drop(&mut self) {
        if let Some(note) = &self.0 {
            note.store(true, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Tool for Echo {
    fn config_name(&self) -> &str {
        &self.config_name
    }

    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn max_result_bytes(&self) -> usize {
        100
    }

    async fn call(&self, arguments: Value, _context: &ToolContext) -> ToolOutcome {
        let mut note = DropNote(Some(Arc::clone(&self.was_dropped)));
        tokio::time::sleep(self.pause).await;
        note.0 = None;
        ToolOutcome::Ok(arguments)
    }
}

fn set(globs: &[&str], tools: Vec<Echo>) -> ToolSet {
    let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
    let tools = tools.into_iter().map(|tool| Arc::new(tool) as Arc<dyn Tool>).collect();
    ToolSet::new(ToolPatterns::new(&globs), tools, Vec::new())
}

async fn content(tools: &ToolSet, name: &str, arguments: &str) -> Value {
    let result = tools.call(&call(name, arguments), &context()).await;
    assert_eq!((result.call_id.as_str(), result.name.as_str()), ("call_1", name));
    let content: Value = serde_json::from_str(&result.content).unwrap();
    assert_eq!(content["ok"], json!(!result.is_error), "{content}");
    content
}

#[tokio::test]
async fn the_model_sees_the_allowed_tools_under_safe_names() {
    let tools = set(
        &["network.*", "mcp.files.read_*", "disk"],
        [
            "network.ask",
            "mcp.files.read_file",
            "mcp.files.write_file",
            "disk",
            "odds",
        ]
        .map(Echo::new)
        .into(),
    );
    let names: Vec<String> = tools.specs().iter().map(|spec| spec.name.clone()).collect();
    assert_eq!(names, ["disk", "mcp__files__read_file", "network_ask"]);
    assert_eq!(
        tools.model_name("mcp.files.read_file").as_deref(),
        Some("mcp__files__read_file")
    );
    assert_eq!(tools.model_name("odds"), None);
    assert!(tools.unmatched_globs().is_empty());
}

#[tokio::test]
async fn names_that_clash_stay_callable() {
    let tools = set(&["*"], ["a.b", "a_b"].map(Echo::new).into());
    for spec in tools.specs().iter() {
        assert_eq!(
            content(&tools, &spec.name, "{}").await["ok"],
            json!(true),
            "{}",
            spec.name
        );
    }
    assert_eq!(tools.specs().len(), 2);
}

#[rstest]
#[case("network_ask", r#"{"text":"hi"}"#, json!({"ok": true, "tool": "network_ask", "result": {"text": "hi"}}))]
#[case("network.ask", "", json!({"ok": true, "tool": "network.ask", "result": {}}))]
#[case(
    "odds", "{}",
    json!({"ok": false, "tool": "odds", "error": "tool_not_allowed", "detail": "this agent may not use the tool"})
)]
#[case(
    "nothing", "{}",
    json!({"ok": false, "tool": "nothing", "error": "tool_not_found", "detail": "the tools are: network_ask"})
)]
#[tokio::test]
async fn a_call_is_answered(#[case] name: &str, #[case] arguments: &str, #[case] expected: Value) {
    let tools = set(&["network.*"], ["network.ask", "odds"].map(Echo::new).into());
    assert_eq!(content(&tools, name, arguments).await, expected);
}

#[rstest]
#[case("{\"city\":", "bad_args")]
#[case("[]", "bad_args")]
#[case("{}", "bad_args")]
#[case(r#"{"city":5}"#, "bad_args")]
#[case(r#"{"city":"Oslo","x":1}"#, "bad_args")]
#[tokio::test]
async fn arguments_are_checked_before_the_tool_runs(#[case] arguments: &str, #[case] code: &str) {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["city"],
        "properties": {"city": {"type": "string"}},
    });
    let tool = Echo::new("weather")
        .with_parameters(schema)
        .with_pause(Duration::from_secs(3600));
    let content = content(&set(&["*"], vec![tool]), "weather", arguments).await;
    assert_eq!(content["error"], json!(code), "{content}");
}

#[tokio::test]
async fn a_tool_with_a_wrong_schema_does_not_run() {
    let tool = Echo::new("weather").with_parameters(json!({"type": "object", "properties": {"a": {"type": "odd"}}}));
    assert_eq!(
        content(&set(&["*"], vec![tool]), "weather", "{}").await["error"],
        json!("bad_schema")
    );
}

#[tokio::test]
async fn a_result_is_cut_to_the_limit_of_the_tool() {
    let tools = set(&["*"], vec![Echo::new("echo")]);
    let content = content(&tools, "echo", &json!({"text": "x".repeat(1_000)}).to_string()).await;
    assert_eq!(content["truncated"], json!(true));
    assert!(content["result"].as_str().unwrap().len() <= 100, "{content}");
}

#[rstest]
#[case(60, "no result after 10 s")]
#[case(5, "the time for the whole answer is over")]
#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_dropped_in_time(#[case] seconds: u64, #[case] detail: &str) {
    let tool = Echo::new("slow").with_pause(Duration::from_secs(3600));
    let was_dropped = Arc::clone(&tool.was_dropped);
    let tools = set(&["*"], vec![tool]);
    let mut context = context();
    context.deadline = Instant::now() + Duration::from_secs(seconds);
    let result = tools.call(&call("slow", "{}"), &context).await;
    let content: Value = serde_json::from_str(&result.content).unwrap();
    assert_eq!(
        content,
        json!({"ok": false, "tool": "slow", "error": "timeout", "detail": detail})
    );
    assert!(was_dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_drops_the_tool_and_still_has_a_result() {
    let tool = Echo::new("slow").with_pause(Duration::from_secs(5));
    let was_dropped = Arc::clone(&tool.was_dropped);
    let tools = set(&["*"], vec![tool]);
    let context = context();
    let call = call("slow", "{}");
    let calling = tools.call(&call, &context);
    let cancelling = async {
        tokio::task::yield_now().await;
        context.cancelled.cancel();
    };
    let (result, ()) = tokio::join!(calling, cancelling);
    assert!(result.content.contains("\"cancelled\""), "{}", result.content);
    assert!(was_dropped.load(Ordering::SeqCst));
}

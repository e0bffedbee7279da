//! Tools: HTTP and commands, over several turns, with all three APIs, and every way in which they fail.

use agentnet::json;
use rstest::rstest;
use serde_json::Value;

use crate::mesh::recorder::Recorder;
use crate::mesh::scripted::{Mesh, Setup, agent, calls, head, says, tool_results};

const TOOLS: &str = r#"
tools:
  status_page:
    description: Status of a service.
    parameters: { type: object, required: [id], properties: { id: { type: string } } }
    http: { method: GET, url: "${PAGES_URL}/status/{id}", allow_private: true }
  echo_text:
    description: Repeats a text.
    parameters: { type: object, required: [text], properties: { text: { type: string } } }
    shell: { argv: [echo, "<{text}>"] }
agents:
"#;

/// Two calls at once, then one more, then the answer. Every call has its result, whatever the arguments contain.
#[rstest]
#[case("openai-chat")]
#[case("openai-responses")]
#[case("anthropic-messages")]
#[tokio::test(flavor = "multi_thread")]
async fn tools_are_called_over_several_turns(#[case] api: &str) {
    const HOSTILE: &str = "$(id); `id` | id && id > x 'a' \"b\" \\ -n";
    let pages = Recorder::start(r#"{"state":"green"}"#).await;
    let more = "    tools: [status_page, echo_text]\n    reply: { include_tool_results: true }\n";
    let first = [
        ("status_page", json!({ "id": "a/../b c?d#e" })),
        ("echo_text", json!({ "text": HOSTILE })),
    ];
    let mesh = Mesh::start(Setup {
        yaml: head(api) + TOOLS + &agent("helper", "You help.", more),
        online: &["helper"],
        fixtures: json!([
            calls(json!({ "userMessage": "check", "hasToolResult": false }), &first),
            {
                "match": { "toolCallId": "call_1" },
                "response": { "toolCalls": [{ "id": "call_2", "name": "echo_text", "arguments": { "text": "again" } }] },
            },
            says(json!({ "toolCallId": "call_2" }), "All is well."),
        ]),
        environment: vec![("PAGES_URL", pages.url.clone())],
    })
    .await;
    let reply = mesh.ask("@helper", "tools_1", "check the service").await;
    assert_eq!(reply.text().as_deref(), Some("All is well."), "{}", mesh.host.stderr());
    let payload: Value = reply.json().unwrap();
    assert_eq!(payload["tool_results"].as_array().unwrap().len(), 3, "{payload}");
    let seen = pages.seen();
    assert_eq!(seen.len(), 1);
    // One segment of the path, whatever the argument contains.
    assert_eq!(seen[0].target, "/status/a%2F..%2Fb%20c%3Fd%23e");
    let requests = mesh.asked(3).await;
    assert_eq!(requests.len(), 3);
    assert_eq!(tool_results(&requests[1]).len(), 2);
    let last = tool_results(&requests[2]);
    assert_eq!(last.len(), 3);
    for (_, result) in &last {
        assert_eq!(result["ok"], true, "{result}");
    }
    // The shell never saw it.
    let echoed = last[1].1["result"].to_string();
    let expected = Value::from(format!("<{HOSTILE}>")).to_string();
    assert!(echoed.contains(expected.trim_matches('"')), "{echoed}");
    mesh.stop().await;
}

/// What a model gets from tools that hang, fail, print too much, are not allowed, or lack a key.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_is_told_to_the_model() {
    const FAILING: &str = r#"
tools:
  hangs: { description: Hangs., shell: { argv: [sleep, "600"] }, timeout_seconds: 1 }
  exits: { description: Fails., shell: { argv: [ls, /does/not/exist] } }
  floods: { description: Prints 10 MB., shell: { argv: [seq, "1500000"] }, max_result_bytes: 4096 }
  private: { description: Asks this machine., http: { method: GET, url: "${PAGES_URL}/x" } }
  keyed:
    description: Needs a key.
    http: { method: GET, url: "${PAGES_URL}/x", allow_private: true, headers: { Authorization: "Bearer ${ABSENT_TOKEN}" } }
  strict:
    description: Takes a number.
    parameters: { type: object, required: [n], properties: { n: { type: integer } } }
    shell: { argv: [seq, "{n}"] }
  forbidden: { description: Is not in the agent's list., shell: { argv: [echo, x] } }
agents:
"#;
    let pages = Recorder::start("{}").await;
    let more = "    tools: [hangs, exits, floods, private, keyed, strict]\n";
    let none = json!({});
    let all = [
        ("hangs", none.clone()),
        ("exits", none.clone()),
        ("floods", none.clone()),
        ("private", none.clone()),
        ("keyed", none.clone()),
        ("strict", json!({ "n": "1; id" })),
        ("forbidden", none.clone()),
        ("unheard_of", none),
    ];
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + FAILING + &agent("helper", "You help.", more),
        online: &["helper"],
        fixtures: json!([
            calls(json!({ "hasToolResult": false }), &all),
            says(json!({ "hasToolResult": true }), "Nothing worked."),
        ]),
        environment: vec![("PAGES_URL", pages.url.clone())],
    })
    .await;
    assert_eq!(mesh.answer("@helper", "tools_2", "try all").await, "Nothing worked.");
    let requests = mesh.asked(2).await;
    let results = tool_results(&requests[1]);
    assert_eq!(results.len(), all.len());
    let expected = [
        (false, "timeout"),
        (false, "exit"),
        (true, "1\\n2\\n3"),
        (false, "private"),
        (false, "ABSENT_TOKEN"),
        (false, "bad_args"),
        (false, "forbidden"),
        (false, "unheard_of"),
    ];
    for ((call, _), ((_, result), (ok, part))) in all.iter().zip(results.iter().zip(expected)) {
        assert_eq!(result["ok"], ok, "{call}: {result}");
        assert!(
            result.to_string().contains(part),
            "{call}: `{part}` is missing in {result}"
        );
    }
    assert!(results[2].1.to_string().len() < 6_000);
    assert!(pages.seen().is_empty(), "{:?}", pages.seen());
    mesh.stop().await;
}

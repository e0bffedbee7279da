//! The result of a tool call as JSON text for the model.

use serde_json::{Value, json};

use super::ToolOutcome;
use super::clip::{clip, json_prefix};
use crate::model::{ToolCall, ToolResult};

/// Characters of the detail of a failure.
const MAX_DETAIL_CHARS: usize = 2_000;
/// Characters of the name of a tool that does not exist, as the model wrote it.
const MAX_NAME_CHARS: usize = 128;

/// Writes the result of a call: `{"ok":true,"tool":…,"result":…}` or `{"ok":false,"tool":…,"error":…,"detail":…}`.
///
/// A result with more than `max_bytes` of JSON is cut and marked by `"truncated": true`: of a text its beginning stays, of anything
/// else the beginning of its JSON, as a text.
pub(super) fn tool_result(call: &ToolCall, outcome: &ToolOutcome, max_bytes: usize) -> ToolResult {
    let tool = clip(&call.name, MAX_NAME_CHARS);
    let (content, is_error) = match outcome {
        ToolOutcome::Ok(result) => (success(&tool, result, max_bytes), false),
        ToolOutcome::Failed { code, detail } => {
            let detail = clip(detail, MAX_DETAIL_CHARS);
            (
                json!({"ok": false, "tool": tool, "error": code, "detail": detail}).to_string(),
                true,
            )
        }
    };
    ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        content,
        is_error,
    }
}

fn success(tool: &str, result: &Value, max_bytes: usize) -> String {
    let text = result.to_string();
    if text.len() <= max_bytes {
        return json!({"ok": true, "tool": tool, "result": result}).to_string();
    }
    let whole = result.as_str().unwrap_or(&text);
    let result = json_prefix(whole, max_bytes.saturating_sub(2));
    json!({"ok": true, "tool": tool, "truncated": true, "bytes": text.len(), "result": result}).to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn result_of(outcome: &ToolOutcome, max_bytes: usize) -> (Value, bool) {
        let call = ToolCall {
            id: "call_1".to_owned(),
            name: "disk".to_owned(),
            arguments: String::new(),
        };
        let result = tool_result(&call, outcome, max_bytes);
        assert_eq!((result.call_id.as_str(), result.name.as_str()), ("call_1", "disk"));
        (serde_json::from_str(&result.content).unwrap(), result.is_error)
    }

    #[rstest]
    #[case(json!({"a": 1}), 100, json!({"ok": true, "tool": "disk", "result": {"a": 1}}))]
    #[case(json!("abc"), 5, json!({"ok": true, "tool": "disk", "result": "abc"}))]
    #[case(json!("abcd"), 5, json!({"ok": true, "tool": "disk", "truncated": true, "bytes": 6, "result": "abc"}))]
    #[case(json!("a\n\n"), 5, json!({"ok": true, "tool": "disk", "truncated": true, "bytes": 7, "result": "a\n"}))]
    #[case(json!({"a": 1}), 5, json!({"ok": true, "tool": "disk", "truncated": true, "bytes": 7, "result": "{\""}))]
    #[case(json!("abc"), 0, json!({"ok": true, "tool": "disk", "truncated": true, "bytes": 5, "result": ""}))]
    fn a_result_is_written_and_cut(#[case] result: Value, #[case] max_bytes: usize, #[case] expected: Value) {
        assert_eq!(result_of(&ToolOutcome::Ok(result), max_bytes), (expected, false));
    }

    #[test]
    fn a_failure_has_a_code_and_a_bounded_detail() {
        let (content, is_error) = result_of(&ToolOutcome::failed("timeout", "x".repeat(100_000)), 10);
        assert!(is_error);
        assert_eq!((&content["ok"], &content["error"]), (&json!(false), &json!("timeout")));
        assert_eq!(
            content["detail"].as_str().unwrap().chars().count(),
            MAX_DETAIL_CHARS + 1
        );
    }
}

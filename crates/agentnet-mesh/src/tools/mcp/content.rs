//! The result of a server's tool as JSON for the model.

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use super::super::ToolOutcome;
use super::super::clip::Redactor;

/// A server's answer for the model, without the secrets of the server's configuration.
pub(super) fn outcome(response: CallToolResponse, redactor: &Redactor) -> ToolOutcome {
    match response {
        CallToolResponse::Complete(result) if result.is_error == Some(true) => {
            let text = plain_text(&result.content);
            let detail = if text.is_empty() {
                "the tool failed without saying why".to_owned()
            } else {
                text
            };
            ToolOutcome::failed("tool_error", redactor.clean(&detail))
        }
        CallToolResponse::Complete(result) => ToolOutcome::Ok(redactor.clean_value(value(result))),
        CallToolResponse::InputRequired(_) => ToolOutcome::failed(
            "input_required",
            "the tool asks its user something, and there is none to ask",
        ),
        _ => ToolOutcome::failed(
            "unsupported",
            "the server answered with a task, which this client did not ask for",
        ),
    }
}

/// Structured content stands for the whole: servers repeat it as text. Of text alone, the text; else a list of blocks.
fn value(result: CallToolResult) -> Value {
    if let Some(structured) = result.structured_content.filter(|structured| !structured.is_null()) {
        return structured;
    }
    let is_text = |block: &ContentBlock| matches!(block, ContentBlock::Text(_));
    if result.content.iter().all(is_text) {
        return Value::String(plain_text(&result.content));
    }
    result.content.iter().map(block_value).collect()
}

fn plain_text(content: &[ContentBlock]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

/// A block without its binary data, which the model cannot read.
fn block_value(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => json!({"type": "text", "text": text.text}),
        ContentBlock::Image(image) => binary("image", Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => binary("audio", Some(&audio.mime_type), &audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                json!({"type": "resource", "uri": uri, "text": text})
            }
            ResourceContents::BlobResourceContents {
                uri, mime_type, blob, ..
            } => {
                let mut value = binary("resource", mime_type.as_deref(), blob);
                value["uri"] = json!(uri);
                value
            }
            _ => json!({"type": "resource"}),
        },
        ContentBlock::ResourceLink(link) => {
            json!({"type": "resource_link", "uri": link.uri, "name": link.name, "description": link.description})
        }
        _ => json!({"type": "unknown"}),
    }
}

/// Says that there is binary data: of what type, and about how many bytes from its base64 form.
fn binary(kind: &str, mime_type: Option<&str>, base64: &str) -> Value {
    json!({"type": kind, "mime_type": mime_type, "bytes": base64.len() / 4 * 3, "note": "binary data is left out"})
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn complete(result: Value) -> ToolOutcome {
        let mut redactor = Redactor::default();
        redactor.add("secret-token");
        outcome(
            CallToolResponse::Complete(serde_json::from_value(result).unwrap()),
            &redactor,
        )
    }

    #[rstest]
    #[case(json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}), json!("a\nb"))]
    #[case(json!({"content": []}), json!(""))]
    #[case(json!({"content": [{"type": "text", "text": "a secret-token"}]}), json!("a ***"))]
    #[case(json!({"structuredContent": {"a": ["secret-token"]}}), json!({"a": ["***"]}))]
    #[case(json!({"content": [{"type": "text", "text": "{}"}], "structuredContent": {"a": 1}}), json!({"a": 1}))]
    #[case(
        json!({"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "AAAAAAAA", "mimeType": "image/png"}]}),
        json!([
            {"type": "text", "text": "a"},
            {"type": "image", "mime_type": "image/png", "bytes": 6, "note": "binary data is left out"},
        ])
    )]
    #[case(
        json!({"content": [{"type": "resource", "resource": {"uri": "file:///a", "text": "b"}}]}),
        json!([{"type": "resource", "uri": "file:///a", "text": "b"}])
    )]
    fn a_result_becomes_json(#[case] result: Value, #[case] expected: Value) {
        assert_eq!(complete(result), ToolOutcome::Ok(expected));
    }

    #[rstest]
    #[case(json!({"content": [{"type": "text", "text": "no such file"}], "isError": true}), "no such file")]
    #[case(json!({"content": [], "isError": true}), "the tool failed without saying why")]
    fn an_error_becomes_a_failure(#[case] result: Value, #[case] detail: &str) {
        assert_eq!(complete(result), ToolOutcome::failed("tool_error", detail));
    }
}

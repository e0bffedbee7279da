//! The list of a server's tools, read page by page within limits.

use std::sync::Arc;

use rmcp::model::{ErrorCode, PaginatedRequestParams, Tool as ListedTool};
use rmcp::{Peer, RoleClient, ServiceError};
use serde_json::Value;

use super::super::clip::{Redactor, clip};
use super::super::name::model_name;
use super::super::schema::object_schema;
use crate::model::ToolSpec;

/// Pages that are read of one list.
const MAX_PAGES: usize = 32;
/// Tools of one server.
const MAX_TOOLS: usize = 512;
/// Characters of a name.
const MAX_NAME_CHARS: usize = 128;
/// Characters of a description.
const MAX_DESCRIPTION_CHARS: usize = 4_096;
/// Bytes of a schema, as JSON text.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// A tool that a server listed.
#[derive(Debug, PartialEq)]
pub(super) struct RemoteTool {
    /// Name at the server.
    pub(super) name: String,
    /// `mcp.SERVER.NAME`.
    pub(super) config_name: String,
    /// The tool as models see it.
    pub(super) spec: ToolSpec,
}

/// Reads the list. Tools that are malformed or beyond the limits are left out with a line in the log; what the server says about
/// them is cleaned of its secrets.
pub(super) async fn list_tools(
    peer: &Peer<RoleClient>,
    server: &str,
    redactor: &Redactor,
) -> Result<Vec<Arc<RemoteTool>>, ServiceError> {
    let mut tools: Vec<Arc<RemoteTool>> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let params = cursor
            .take()
            .map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let page = match peer.list_tools(params).await {
            Ok(page) => page,
            // A server without tools.
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        for listed in page.tools.into_iter().take(MAX_TOOLS + 1) {
            match RemoteTool::new(server, &listed, redactor) {
                Ok(tool) if tools.iter().any(|known| known.name == tool.name) => {}
                Ok(tool) => tools.push(Arc::new(tool)),
                Err(problem) => {
                    let name = clip(&listed.name, MAX_NAME_CHARS);
                    tracing::warn!(server, tool = ?name, problem, "left out a tool of an MCP server");
                }
            }
        }
        cursor = page.next_cursor;
        if tools.len() >= MAX_TOOLS || cursor.is_none() {
            break;
        }
    }
    if tools.len() > MAX_TOOLS || cursor.is_some() {
        tracing::warn!(server, "an MCP server lists too many tools; the rest is left out");
        tools.truncate(MAX_TOOLS);
    }
    Ok(tools)
}

impl RemoteTool {
    fn new(server: &str, listed: &ListedTool, redactor: &Redactor) -> Result<Self, String> {
        let name = listed.name.as_ref();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err("its name is empty, too long, or has control characters".to_owned());
        }
        let schema = Value::Object(listed.input_schema.as_ref().clone());
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("its schema has more than {MAX_SCHEMA_BYTES} bytes"));
        }
        let parameters = object_schema(&redactor.clean_value(schema))?;
        let description = listed
            .description
            .as_deref()
            .or(listed.title.as_deref())
            .unwrap_or_default();
        let config_name = format!("mcp.{server}.{name}");
        let spec = ToolSpec {
            name: model_name(&config_name),
            description: clip(&redactor.clean(description), MAX_DESCRIPTION_CHARS),
            parameters,
        };
        Ok(Self {
            name: name.to_owned(),
            config_name,
            spec,
        })
    }
}

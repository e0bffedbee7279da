//! A tool of an MCP server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, ErrorCode};
use serde_json::Value;

use super::super::clip::clip;
use super::super::{Tool, ToolContext, ToolOutcome};
use super::content::outcome;
use super::listing::RemoteTool;
use super::state::{LiveConnection, ServerLink};
use crate::model::ToolSpec;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a call waits for a server that is being started.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a result: more than that of other tools, since servers return whole files and pages.
const MAX_RESULT_BYTES: usize = 32 * 1024;
/// Characters of the server's own description of an error.
const MAX_ERROR_CHARS: usize = 500;

/// A tool of an MCP server. A call that is dropped sends `notifications/cancelled`.
pub(super) struct McpTool {
    link: ServerLink,
    remote: Arc<RemoteTool>,
}

impl McpTool {
    pub(super) fn new(link: ServerLink, remote: Arc<RemoteTool>) -> Self {
        Self { link, remote }
    }

    fn failure(&self, error: &ServiceError, connection: &LiveConnection) -> ToolOutcome {
        let (code, text) = match error {
            ServiceError::McpError(error) if error.code == ErrorCode::INVALID_PARAMS => {
                ("bad_args", error.message.to_string())
            }
            ServiceError::McpError(error) => ("tool_error", format!("error {}: {}", error.code.0, error.message)),
            ServiceError::TransportClosed => {
                connection.note_end();
                (
                    "server_unavailable",
                    "the server closed the connection; it is started again".to_owned(),
                )
            }
            ServiceError::TransportSend(error) => {
                connection.note_send_failure();
                ("server_unavailable", format!("the request could not be sent: {error}"))
            }
            other => ("tool_error", other.to_string()),
        };
        ToolOutcome::failed(code, clip(&self.link.redactor().clean(&text), MAX_ERROR_CHARS))
    }
}

#[async_trait]
impl Tool for McpTool {
    fn config_name(&self) -> &str {
        &self.remote.config_name
    }

    fn spec(&self) -> &ToolSpec {
        &self.remote.spec
    }

    fn timeout(&self) -> Duration {
        CALL_TIMEOUT
    }

    fn max_result_bytes(&self) -> usize {
        MAX_RESULT_BYTES
    }

    async fn call(&self, arguments: Value, _context: &ToolContext) -> ToolOutcome {
        let Value::Object(arguments) = arguments else {
            return ToolOutcome::failed("bad_args", "the arguments are not a JSON object");
        };
        let connection = match self.link.connection(CONNECTION_WAIT).await {
            Ok(connection) => connection,
            Err(problem) => return ToolOutcome::failed("server_unavailable", problem),
        };
        let params = CallToolRequestParams::new(self.remote.name.clone()).with_arguments(arguments);
        match connection.peer.call_tool_once(params).await {
            Ok(response) => {
                connection.note_answer();
                outcome(response, self.link.redactor())
            }
            Err(error) => self.failure(&error, &connection),
        }
    }
}

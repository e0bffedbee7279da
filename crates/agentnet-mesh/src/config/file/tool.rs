//! Tools and MCP servers of `mesh.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SecretText;

/// A server of the Model Context Protocol: a program (`command`) or an address (`url`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "McpServer")]
pub(crate) struct McpServerFile {
    /// Program and arguments. It is started when an agent first needs it, and talks over standard input and output.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) command: Option<Vec<String>>,
    /// Working directory of the program, relative to the file. Default: the directory of the file.
    pub(crate) cwd: Option<String>,
    /// Environment of the program. Of the host's own, only `PATH` and `HOME` are passed on.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) env: BTreeMap<String, String>,
    /// Address of a server that speaks streamable HTTP.
    pub(crate) url: Option<String>,
    /// Headers of the requests to `url`.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) headers: BTreeMap<String, String>,
}

/// A tool: an HTTP request (`http`) or a command (`shell`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tool")]
pub(crate) struct ToolFile {
    /// What the tool does, for the model.
    #[schemars(length(min = 1, max = 4000))]
    pub(crate) description: String,
    /// JSON Schema of the arguments, an object. Arguments are checked before the tool runs. Default: no arguments.
    pub(crate) parameters: Option<Value>,
    /// Seconds that a call may take.
    #[serde(default = "timeout_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) timeout_seconds: f64,
    /// Bytes of the result that the model sees; the rest is cut.
    #[serde(default = "max_result_bytes")]
    #[schemars(range(min = 256, max = 1000000))]
    pub(crate) max_result_bytes: usize,
    /// An HTTP request.
    pub(crate) http: Option<HttpFile>,
    /// A command that runs without a shell.
    pub(crate) shell: Option<ShellFile>,
}

fn timeout_seconds() -> f64 {
    10.0
}

fn max_result_bytes() -> usize {
    16_384
}

/// An HTTP request. `{name}` in `url`, `query` and `body` stands for the argument of that name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpTool")]
pub(crate) struct HttpFile {
    /// Method of the request.
    #[serde(default)]
    pub(crate) method: MethodFile,
    /// URL. Arguments are percent-encoded, and cannot stand in scheme, host or port.
    #[schemars(length(min = 1, max = 4000))]
    pub(crate) url: String,
    /// Query parameters. One whose argument is absent is left out.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
    /// Headers. If the variable of one is not set, calls fail and name it.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) headers: BTreeMap<String, SecretText>,
    /// Query parameters with keys and tokens. If the variable of one is not set, calls fail and name it.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) secret_query: BTreeMap<String, SecretText>,
    /// JSON body.
    pub(crate) body: Option<Value>,
    /// Hosts that may be asked, also after redirects: `status.example.org` or `*.example.org`. Default: the host of `url`.
    #[serde(default)]
    pub(crate) allow_hosts: Vec<String>,
    /// Whether loopback, private and link-local addresses may be asked.
    #[serde(default)]
    pub(crate) allow_private: bool,
}

/// Method of an HTTP request.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "Method")]
pub(crate) enum MethodFile {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl MethodFile {
    /// The method on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A command that runs without a shell, with an empty environment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ShellTool")]
pub(crate) struct ShellFile {
    /// Program and arguments. `{name}` in an argument stands for the argument of the tool of that name; the program is fixed.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) argv: Vec<String>,
    /// Working directory, relative to the file. Default: the directory of the file.
    pub(crate) cwd: Option<String>,
    /// Names of the host's variables that are passed on, such as `PATH`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
}

//! Tasks that an agent of `mesh.yaml` takes.

use schemars::JsonSchema;
use serde::Deserialize;

/// Tasks that the agent takes: `true`, or a mapping.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Tasks", extend("x-switch" = true))]
pub(crate) struct TasksFile {
    /// Number of tasks that the agent does at the same time, besides the messages that it answers.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) concurrency: usize,
    /// Calls of the model per task. Default: `limits.max_steps`.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_steps: Option<u32>,
    /// Calls of tools per task. Default: `limits.max_tool_calls`.
    #[schemars(range(min = 0, max = 10000))]
    pub(crate) max_tool_calls: Option<u32>,
    /// Seconds per task. Default: `limits.max_seconds`.
    #[schemars(range(min = 1, max = 86400))]
    pub(crate) max_seconds: Option<f64>,
}

impl Default for TasksFile {
    fn default() -> Self {
        Self {
            concurrency: 1,
            max_steps: None,
            max_tool_calls: None,
            max_seconds: None,
        }
    }
}

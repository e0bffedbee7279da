//! The settings of tasks (PROTOCOL.md section 22.8).

use std::time::Duration;

use super::super::parse::{SECOND, boolean, number, time};
use super::super::setting::{NO_LIMIT, Setting, assign, at_least};

/// Whether tasks are kept at all.
pub(super) const TASKS: Setting = Setting {
    variable: "AGENTNET_TASKS",
    flag: Some("tasks"),
    value_name: "BOOL",
    default: "true",
    help: "Keep tasks, and give them to the agents that claim them",
    set: |config, value| assign(&mut config.tasks, boolean(value)),
    limit: NO_LIMIT,
};

/// Open tasks of one coordinator.
pub(super) const MAX_OPEN: Setting = Setting {
    variable: "AGENTNET_TASK_MAX_OPEN",
    flag: Some("task-max-open"),
    value_name: "N",
    default: "10000",
    help: "Tasks of one account that have not ended, at least 1",
    set: |config, value| assign(&mut config.task_max_open, number(value)),
    limit: |config| at_least(&mut config.task_max_open, 1),
};

/// How long tasks are kept after their end.
pub(super) const RETENTION_DAYS: Setting = Setting {
    variable: "AGENTNET_TASK_RETENTION_DAYS",
    flag: Some("task-retention-days"),
    value_name: "DAYS",
    default: "30",
    help: "Tasks that ended are kept for this long, at least 1",
    set: |config, value| assign(&mut config.task_retention_days, number(value)),
    limit: |config| at_least(&mut config.task_retention_days, 1),
};

/// How long a worker has to stop after a cancellation.
pub(super) const CANCEL_GRACE: Setting = Setting {
    variable: "AGENTNET_TASK_CANCEL_GRACE_SECONDS",
    flag: Some("task-cancel-grace-seconds"),
    value_name: "SECONDS",
    default: "30",
    help: "A worker that has not stopped after this time loses its cancelled task",
    set: |config, value| assign(&mut config.task_cancel_grace, time(value, SECOND)),
    limit: |config| at_least(&mut config.task_cancel_grace, Duration::from_millis(100)),
};

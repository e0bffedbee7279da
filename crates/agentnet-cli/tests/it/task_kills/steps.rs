//! What is killed, and when.

use serde_json::Value;

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Worker,
    Coordinator,
    Registry,
    Nats,
    Database,
}

impl Victim {
    pub(crate) const ALL: [Self; 5] = [
        Self::Worker,
        Self::Coordinator,
        Self::Registry,
        Self::Nats,
        Self::Database,
    ];
}

/// How far a task is, as the wire shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The coordinator asks for it.
    Creating,
    /// The registry keeps it.
    Created,
    /// The worker asks for work.
    Claiming,
    /// The worker has it.
    Claimed,
    /// The worker tells that it is still there.
    Heartbeat,
    /// The registry has noted its progress.
    Progress,
    /// The worker tells its result.
    Finishing,
    /// The registry has noted the result.
    Finished,
}

impl Step {
    pub(crate) const ALL: [Self; 8] = [
        Self::Creating,
        Self::Created,
        Self::Claiming,
        Self::Claimed,
        Self::Heartbeat,
        Self::Progress,
        Self::Finishing,
        Self::Finished,
    ];

    /// Whether a message on this subject shows the step.
    pub(crate) fn is_shown_by(self, subject: &str, body: &[u8]) -> bool {
        let event = |kind: &str| {
            let is_event = subject.starts_with("agentnet.events.") && subject.ends_with(".task");
            let body: Option<Value> = is_event.then(|| serde_json::from_slice(body).ok()).flatten();
            body.is_some_and(|body| body["type"] == kind)
        };
        match self {
            Self::Creating => subject == "registry.task_create",
            Self::Created => event("created"),
            Self::Claiming => subject == "registry.task_claim",
            Self::Claimed => event("claimed"),
            Self::Heartbeat => subject == "registry.task_heartbeat",
            Self::Progress => event("progress"),
            Self::Finishing => subject == "registry.task_finish",
            Self::Finished => event("finished"),
        }
    }
}

/// One run of the test: who is killed, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) victim: Victim,
    pub(crate) step: Step,
}

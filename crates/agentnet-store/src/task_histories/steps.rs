//! The steps of random histories.

use agentnet_protocol::task::TaskState;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};

pub(super) const TASKS: usize = 3;
pub(super) const WORKERS: usize = 3;

/// One step of a history. Numbers name tasks, workers (sessions of one account), ends of attempts and messages.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The task is asked for, with its usual content or with another.
    Create { task: usize, usual: bool },
    /// A worker takes up to so many tasks.
    Claim { worker: usize, max: usize },
    /// A worker is still at the task, or thinks so.
    Heartbeat { worker: usize, task: usize, progress: bool },
    /// A worker ends its attempt, or the one that it thinks it has.
    Finish {
        worker: usize,
        task: usize,
        finish: usize,
        state: TaskState,
        retryable: bool,
    },
    /// Nobody wants the task any more.
    Cancel { task: usize },
    /// The worker gets its answer.
    Input { task: usize },
    /// A failed task is tried again.
    Retry { task: usize },
    /// The account of the workers sends a message.
    Report {
        task: usize,
        message: usize,
        state: TaskState,
    },
    /// So many milliseconds pass.
    Advance { millis: i64 },
    /// The sweep runs.
    Tick,
}

/// Up to sixty steps.
pub(super) fn histories() -> impl Strategy<Value = Vec<Step>> {
    use TaskState::{AuthRequired, Canceled, Completed, Failed, InputRequired, Rejected, Submitted, Working};
    let (task, worker) = (0..TASKS, 0..WORKERS);
    let end = prop_oneof![
        Just(Completed),
        Just(Failed),
        Just(Failed),
        Just(Submitted),
        Just(InputRequired),
        Just(AuthRequired),
        Just(Canceled),
        Just(Rejected)
    ];
    let told = prop_oneof![Just(Working), Just(Completed), Just(Failed), Just(InputRequired)];
    let millis = prop_oneof![Just(1), Just(1_000), Just(10_000), Just(29_000), Just(31_000)];
    let step = prop_oneof![
        2 => (task.clone(), proptest::bool::weighted(0.8)).prop_map(|(task, usual)| Step::Create { task, usual }),
        4 => (worker.clone(), 1..3_usize).prop_map(|(worker, max)| Step::Claim { worker, max }),
        3 => (worker.clone(), task.clone(), proptest::bool::ANY)
            .prop_map(|(worker, task, progress)| Step::Heartbeat { worker, task, progress }),
        5 => (worker, task.clone(), 0..3_usize, end, proptest::bool::ANY).prop_map(
            |(worker, task, finish, state, retryable)| Step::Finish { worker, task, finish, state, retryable }
        ),
        1 => task.clone().prop_map(|task| Step::Cancel { task }),
        1 => task.clone().prop_map(|task| Step::Input { task }),
        1 => task.clone().prop_map(|task| Step::Retry { task }),
        2 => (task, 0..4_usize, told).prop_map(|(task, message, state)| Step::Report { task, message, state }),
        3 => millis.prop_map(|millis| Step::Advance { millis }),
        2 => Just(Step::Tick),
    ];
    vec(step, 1..60)
}

//! Starts the worker of a session that claims tasks.

use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::caller::TaskCaller;
use super::claim::ClaimLoop;
use super::handler::AnyTaskHandler;
use super::heartbeats::Heartbeats;
use super::run::TaskRunner;
use super::worker_state::WorkerState;
use crate::config::Config;
use crate::node::Shared;
use crate::session::Session;

/// Starts the worker of a session. Handlers are tasks of `work`.
pub(crate) fn start(
    state: &Arc<WorkerState>,
    session: &Arc<Session>,
    node: Weak<Shared>,
    config: &Config,
    handler: Arc<dyn AnyTaskHandler>,
    work: &TaskTracker,
) {
    let caller = TaskCaller::of(session).fail_fast();
    let heartbeats = Arc::new(Heartbeats::new(caller.clone()));
    let runner = TaskRunner {
        session: session.clone(),
        node,
        handler,
        heartbeats: heartbeats.clone(),
        caller: caller.clone(),
    };
    let claims = ClaimLoop {
        session: session.clone(),
        worker: state.clone(),
        runner: Arc::new(runner),
        caller,
        capabilities: config.capabilities.clone(),
        max_tasks: config.max_tasks,
        slots: Arc::new(Semaphore::new(config.task_concurrency)),
        work: work.clone(),
    };
    let subscriptions = &session.subscriptions;
    let (sending, watching, of) = (heartbeats.clone(), heartbeats, session.clone());
    subscriptions.serve(async move { sending.send().await });
    subscriptions.serve(async move { watching.watch_events(&of).await });
    subscriptions.spawn(&state.claiming, claims.run());
}

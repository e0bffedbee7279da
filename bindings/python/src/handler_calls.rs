//! The handlers of one event loop, and the messages and tasks that they handle now.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use tokio::sync::oneshot;

use crate::ids::next_id;
use crate::mailbox::{HandlerCall, HandlerInput, TaskAnswer, failed_call};
use crate::message::AgentMessage;
use crate::runtime::Network;

pub(crate) struct HandlerCalls {
    state: Mutex<HandlerState>,
    network: &'static Network,
    /// The context variables of handlers: those that were set when the loop first used agentnet.
    context: Py<PyAny>,
}

#[derive(Default)]
pub(crate) struct HandlerState {
    /// Coroutine functions that run one message or task each, by handler.
    runners: HashMap<u64, Py<PyAny>>,
    /// Messages and tasks that are being handled, by call.
    running: HashMap<u64, RunningCall>,
}

struct RunningCall {
    answer: Answer,
    /// The asyncio task.
    task: Option<Py<PyAny>>,
}

/// To the worker that waits for a handler.
enum Answer {
    Message(oneshot::Sender<Result<(), String>>),
    Task(oneshot::Sender<TaskAnswer>),
}

/// The first argument of a runner, and the answer that is to come.
fn split<'py>(py: Python<'py>, input: HandlerInput) -> (PyResult<Bound<'py, PyAny>>, Answer) {
    match input {
        HandlerInput::Message {
            message,
            context,
            answer,
        } => {
            let message = Bound::new(py, AgentMessage::received(message, Some(context)));
            (message.map(Bound::into_any), Answer::Message(answer))
        }
        HandlerInput::Task { argument, answer } => {
            let argument = argument(py).map(|argument| argument.into_bound(py));
            (argument, Answer::Task(answer))
        }
    }
}

impl HandlerCalls {
    pub(crate) fn new(py: Python<'_>, network: &'static Network) -> PyResult<Self> {
        Ok(Self {
            state: Mutex::default(),
            network,
            context: py.import("contextvars")?.call_method0("copy_context")?.unbind(),
        })
    }

    /// Never held while Python code runs.
    fn state(&self) -> MutexGuard<'_, HandlerState> {
        self.state.lock()
    }

    /// Removes all handlers and calls. The workers learn it when the result is dropped.
    pub(crate) fn take(&self) -> HandlerState {
        std::mem::take(&mut *self.state())
    }

    /// The number of messages and tasks that are being handled.
    pub(crate) fn running_count(&self) -> usize {
        self.state().running.len()
    }

    /// Keeps a handler's runner until [`HandlerCalls::remove_runner`].
    pub(crate) fn add_runner(&self, runner: Py<PyAny>) -> u64 {
        let handler = next_id();
        self.state().runners.insert(handler, runner);
        handler
    }

    pub(crate) fn remove_runner(&self, handler: u64) {
        let runner = self.state().runners.remove(&handler);
        drop(runner);
    }

    /// Makes the asyncio task that handles a message or a task.
    pub(crate) fn start(&self, event_loop: &Bound<'_, PyAny>, call: HandlerCall) -> PyResult<()> {
        let py = event_loop.py();
        // Its time is over; the sender has the error already.
        if call.input.is_abandoned() {
            return Ok(());
        }
        let runner = {
            let state = self.state();
            state.runners.get(&call.handler).map(|runner| runner.clone_ref(py))
        };
        let Some(runner) = runner else {
            // The worker learns it when the call is dropped.
            return Ok(());
        };
        let (argument, answer) = split(py, call.input);
        self.state().running.insert(call.id, RunningCall { answer, task: None });
        let started = (|| {
            let coroutine = runner.bind(py).call1((argument?, call.id))?;
            let create = event_loop.getattr(intern!(py, "create_task"))?;
            self.context
                .bind(py)
                .call_method1(intern!(py, "run"), (create, coroutine))
        })();
        match started {
            Ok(task) => {
                if let Some(running) = self.state().running.get_mut(&call.id) {
                    running.task = Some(task.unbind());
                }
                Ok(())
            }
            Err(error) => {
                self.fail(call.id, error.to_string());
                Err(error)
            }
        }
    }

    /// Cancels the task of a call, for which the worker no longer waits: the handler took too long, or the node is closed.
    pub(crate) fn cancel(&self, py: Python<'_>, call: u64) -> PyResult<()> {
        let running = self.state().running.remove(&call);
        if let Some(task) = running.and_then(|running| running.task) {
            task.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Sends the result of a message's handler to its worker.
    pub(crate) fn answer(&self, call: u64, failure: Option<String>) {
        if let Some(Answer::Message(answer)) = self.take_answer(call) {
            // It fails if the worker is gone.
            self.network.within(|| drop(answer.send(failure.map_or(Ok(()), Err))));
        }
    }

    /// Sends the result of a task's handler to its worker.
    pub(crate) fn answer_task(&self, call: u64, outcome: TaskAnswer) {
        if let Some(Answer::Task(answer)) = self.take_answer(call) {
            self.network.within(|| drop(answer.send(outcome)));
        }
    }

    /// Reports that a handler could not be started.
    fn fail(&self, call: u64, failure: String) {
        match self.take_answer(call) {
            Some(Answer::Message(answer)) => self.network.within(|| drop(answer.send(Err(failure)))),
            Some(Answer::Task(answer)) => self.network.within(|| drop(answer.send(Err(failed_call(failure))))),
            None => {}
        }
    }

    fn take_answer(&self, call: u64) -> Option<Answer> {
        let running = self.state().running.remove(&call);
        running.map(|running| running.answer)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        // Another thread may hold the lock; then nothing is collected this time.
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        for runner in state.runners.values() {
            visit.call(runner)?;
        }
        for running in state.running.values() {
            visit.call(&running.task)?;
        }
        Ok(())
    }
}

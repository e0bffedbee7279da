//! Handing a node's messages and tasks to the event loop that it was started on.

use std::sync::Arc;

use agentnet::{BoxError, ClaimedWork, Context, Message, TaskContext};
use pyo3::Bound;
use tokio::sync::oneshot;

use crate::ids::next_id;
use crate::mailbox::{Event, HandlerCall, HandlerInput, Mailbox, TaskAnswer, failed_call};
use crate::tasks::work::claimed;

const LOOP_CLOSED: &str = "the event loop that the node was started on is closed";

/// Tells the loop that a handler call is no longer waited for, unless it was answered.
struct CancelOnDrop {
    mailbox: Arc<Mailbox>,
    call: u64,
    is_answered: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.is_answered {
            self.mailbox.post(Event::Cancel(self.call));
        }
    }
}

/// Hands a message to the loop and waits until its handler has ended.
pub(super) async fn dispatch(
    mailbox: Arc<Mailbox>,
    handler: u64,
    message: Message,
    context: Context,
) -> Result<(), BoxError> {
    let wants_reply = message.wants_reply();
    let (answer, answered) = oneshot::channel();
    let input = HandlerInput::Message {
        message,
        context,
        answer,
    };
    // Before anything that waits, so that messages keep their order.
    let Some(mut waiting) = hand_over(mailbox, handler, input) else {
        return Err(LOOP_CLOSED.into());
    };
    if !wants_reply {
        // The sender waits for the receipt, which is sent before the loop is woken.
        tokio::task::yield_now().await;
    }
    waiting.mailbox.wake();
    let outcome = answered.await;
    waiting.is_answered = true;
    match outcome {
        Ok(outcome) => outcome.map_err(BoxError::from),
        Err(_) => Err(LOOP_CLOSED.into()),
    }
}

/// Hands a task to the loop and waits until its handler has ended.
pub(super) async fn dispatch_task(
    mailbox: Arc<Mailbox>,
    handler: u64,
    work: ClaimedWork,
    context: TaskContext,
) -> TaskAnswer {
    let (answer, answered) = oneshot::channel();
    let input = HandlerInput::Task {
        argument: Box::new(move |py| claimed(py, &work, context).map(Bound::unbind)),
        answer,
    };
    if let Some(mut waiting) = hand_over(mailbox, handler, input) {
        waiting.mailbox.wake();
        let outcome = answered.await;
        waiting.is_answered = true;
        match outcome {
            Ok(outcome) => return outcome,
            Err(_) if !waiting.mailbox.is_closed() => {
                return Err(failed_call("the node has no handler of tasks any more"));
            }
            Err(_) => {}
        }
    }
    // With its loop the node leaves the network, and gives the task back to the registry: the task has not failed.
    std::future::pending().await
}

/// Adds a call to the events of the loop, which is not woken yet. None if the loop is closed.
fn hand_over(mailbox: Arc<Mailbox>, handler: u64, input: HandlerInput) -> Option<CancelOnDrop> {
    let id = next_id();
    let call = HandlerCall { id, handler, input };
    mailbox.add(Event::Call(Box::new(call))).then(|| CancelOnDrop {
        mailbox,
        call: id,
        is_answered: false,
    })
}

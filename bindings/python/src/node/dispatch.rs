//! Handing a node's messages to the event loop that it was started on.

use std::sync::Arc;

use agentnet::{BoxError, Context, Message};
use tokio::sync::oneshot;

use crate::ids::next_id;
use crate::mailbox::{Event, HandlerCall, Mailbox};

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
    let id = next_id();
    let (answer, answered) = oneshot::channel();
    let call = HandlerCall {
        id,
        handler,
        message,
        context,
        answer,
    };
    // Before anything that waits, so that messages keep their order.
    if !mailbox.add(Event::Call(Box::new(call))) {
        return Err(LOOP_CLOSED.into());
    }
    let mut waiting = CancelOnDrop {
        mailbox,
        call: id,
        is_answered: false,
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

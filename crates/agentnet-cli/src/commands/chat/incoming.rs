//! Messages that arrive during a conversation: they are acknowledged and shown, on a terminal above the edited line, else on
//! stderr. Requests are shown too, and answered with an error at once: the person's answer comes as a message of its own.

use agentnet::protocol::envelope::kind;
use agentnet::protocol::payload_text::extract_text;
use agentnet::{AgentBuilder, AgentNode, Context, Message, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::account_names::{AccountNames, short_id, without_account};
use crate::output::sanitize::indented_lines;
use crate::output::{Output, Tint};

/// Capacity of the queue of messages to show. Messages beyond it fail.
const QUEUE_CAPACITY: usize = 1_000;
/// The error code of the reply to a request.
pub(super) const NOT_ANSWERED: &str = "not_answered";
/// The detail of that error.
const NOT_ANSWERED_DETAIL: &str = "the message is shown in a chat; an answer comes as a message of its own";

/// The queue of messages.
pub(super) struct Incoming(mpsc::Receiver<Message>);

/// The task that shows messages.
pub(super) struct Showing {
    task: JoinHandle<()>,
    _over: oneshot::Sender<()>,
}

/// Adds a message handler to the agent, which queues messages.
pub(super) fn receive(agent: AgentBuilder) -> (AgentBuilder, Incoming) {
    let (came, messages) = mpsc::channel(QUEUE_CAPACITY);
    let agent = agent.on_message(move |message: Message, context: Context| {
        let shown = came.try_send(message.clone());
        async move {
            shown.map_err(|_| "too many messages wait to be shown")?;
            if message.wants_reply() {
                let refusal = json!({
                    "error": NOT_ANSWERED, "detail": NOT_ANSWERED_DETAIL,
                    "request_message_id": &*message.message_id, "trace_id": message.trace_or_message_id(),
                });
                context.reply(refusal).kind(kind::ERROR).await?;
            }
            Ok(())
        }
    });
    (agent, Incoming(messages))
}

impl Incoming {
    /// Starts to show messages.
    pub(super) fn show(self, node: &AgentNode, output: Output, above: Option<mpsc::Sender<String>>) -> Showing {
        let (over, ends) = oneshot::channel();
        Showing {
            task: tokio::spawn(show(self.0, node.clone(), output, above, ends)),
            _over: over,
        }
    }
}

impl Showing {
    /// Shows the queued messages, and ends.
    pub(super) async fn end(self) {
        let Self { task, _over } = self;
        drop(_over);
        let _ = task.await;
    }
}

async fn show(
    mut messages: mpsc::Receiver<Message>,
    node: AgentNode,
    output: Output,
    above: Option<mpsc::Sender<String>>,
    mut ends: oneshot::Receiver<()>,
) {
    let mut names = None;
    loop {
        tokio::select! {
            biased;
            Some(message) = messages.recv() => {
                let text = line(&message, &mut names, &node, output).await;
                match &above {
                    None => output.note(text),
                    Some(above) => tokio::select! {
                        biased;
                        _ = above.send(text) => {}
                        // At the end, the remaining messages are dropped.
                        _ = &mut ends => return,
                    },
                }
            }
            _ = &mut ends => return,
        }
    }
}

/// The line of a message: `@ada says: hi`.
async fn line(message: &Message, names: &mut Option<AccountNames>, node: &AgentNode, output: Output) -> String {
    if names.is_none()
        && let Ok(registry) = node.registry()
    {
        *names = Some(AccountNames::open(registry).await);
    }
    let from = match names {
        Some(names) => {
            let account_id = message.from_account_id.as_deref();
            names.sender(account_id, &message.from_agent).await
        }
        None => match &message.from_account_id {
            Some(id) => short_id(id),
            None => without_account(&message.from_agent),
        },
    };
    let text = extract_text(&message.payload().view()).unwrap_or_else(|| message.payload().get().to_owned());
    format!(
        "{} {}",
        output.tint(Tint::Cyan, &format!("{from} says:")),
        indented_lines(&text)
    )
}

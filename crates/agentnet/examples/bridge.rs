//! A bridge: puts something that answers text, here any program that reads stdin and writes stdout, on the network.
//!
//! ```text
//! cargo run --example bridge -- shouter tr a-z A-Z
//! agentnet request --to-username shouter '{"text":"hello"}'
//! ```
//!
//! docs/BUILD_AGENT_BRIDGE_IN_15_MINUTES.md explains it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentWrapper, BoxError, DEFAULT_NATS_URL, HandlerResult, Message, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Messages of the thread that the runtime is shown.
const CONTEXT: usize = 20;
/// Less than the node's work timeout (30 s), so that the sender gets the bridge's own words.
const THINKING: Duration = Duration::from_secs(25);

/// What thinks. It knows nothing of the network.
pub(crate) trait Runtime: Send + Sync + 'static {
    /// Answers a text, given what was said before, oldest first.
    fn answer(&self, before: &[String], text: &str) -> impl Future<Output = Result<String, BoxError>> + Send;
}

/// A program that gets the conversation on stdin, a line a message, and answers on stdout.
pub(crate) struct Program(pub(crate) Vec<String>);

impl Runtime for Program {
    async fn answer(&self, before: &[String], text: &str) -> Result<String, BoxError> {
        let [program, arguments @ ..] = self.0.as_slice() else {
            return Err("no program".into());
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let conversation = before
            .iter()
            .map(String::as_str)
            .chain([text])
            .fold(String::new(), |all, line| all + line + "\n");
        let tell = async {
            if let Some(mut stdin) = stdin {
                // A program that does not listen may answer all the same.
                let _ = stdin.write_all(conversation.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), tell);
        let output = output?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
            false => Err(format!("{program}: {}", output.status).into()),
        }
    }
}

/// Turns messages into calls of the runtime, and its answers into messages.
struct Bridge<R> {
    wrapper: AgentWrapper,
    runtime: R,
}

impl<R: Runtime> Bridge<R> {
    async fn handle(&self, message: Message) -> HandlerResult {
        // What answers or reports is not answered, or two bridges would never stop.
        if !matches!(&*message.kind, "direct" | "request") {
            return Ok(());
        }
        let Some(text) = message.text() else {
            return self
                .say(
                    &message,
                    json!({ "error": "unsupported_payload", "detail": "send {\"text\": …}" }),
                )
                .await;
        };
        let before = self.before(&message).await;
        match tokio::time::timeout(THINKING, self.runtime.answer(&before, &text)).await {
            Ok(Ok(answer)) => self.say(&message, json!({ "text": answer })).await,
            // The sender gets `handler_error`; the reason stays in this process' log.
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let late = format!("no answer within {} s", THINKING.as_secs());
                self.say(&message, json!({ "error": "timeout", "detail": late })).await
            }
        }
    }

    /// What the thread holds so far, oldest first. Without a registry the runtime answers without it.
    async fn before(&self, message: &Message) -> Vec<String> {
        let Some(thread_id) = message.thread_id.as_deref() else {
            return Vec::new();
        };
        let page = self.wrapper.get_thread_messages(thread_id).limit(CONTEXT).await;
        let messages = page.map(|page| page.messages).unwrap_or_default();
        let others = messages
            .into_iter()
            .rev()
            .filter(|other| *other.message_id != *message.message_id);
        others
            .filter_map(|other| agentnet::protocol::payload_text::extract_text(&other.payload.view()))
            .collect()
    }

    /// Answers a request on its reply subject, and a plain message by a message to its sender.
    async fn say(&self, message: &Message, payload: serde_json::Value) -> HandlerResult {
        if message.wants_reply() {
            self.wrapper.reply(message, payload).await?;
        } else if let Some(sender) = message.from_account_id.as_deref() {
            let answer = self
                .wrapper
                .send(payload)
                .to_account_id(sender)
                .parent(&*message.message_id);
            let thread_id = message.thread_id.as_deref().unwrap_or_default();
            answer.kind("reply").thread(thread_id).await?;
        }
        Ok(())
    }
}

/// Puts a runtime on the network under a username.
pub(crate) async fn bridge(nats_url: &str, username: &str, runtime: impl Runtime) -> Result<AgentWrapper, BoxError> {
    let wrapper = AgentWrapper::builder(username)
        .username(username)
        .capabilities(["text"])
        .nats_url(nats_url)
        .build()?;
    let bridge = Arc::new(Bridge {
        wrapper: wrapper.clone(),
        runtime,
    });
    wrapper.receive(move |message, _| {
        let bridge = Arc::clone(&bridge);
        async move { bridge.handle(message).await }
    });
    wrapper.connect().await?;
    Ok(wrapper)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let username = arguments.next().ok_or("usage: bridge USERNAME PROGRAM [ARGUMENT]...")?;
    let url = std::env::var("AGENTNET_NATS_URL").unwrap_or_else(|_| DEFAULT_NATS_URL.to_owned());
    let wrapper = bridge(&url, &username, Program(arguments.collect())).await?;
    wrapper.node().run_until_stopped().await?;
    Ok(())
}

//! `agentnet message`: one message in full, with its reply.

use agentnet::RegistryClient;
use agentnet_protocol::Timestamp;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::{HistoryMessage, MessageSearchFilters, MessageSearchRequest, ThreadMessagesRequest};
use clap::{Args, Subcommand};

use super::thread_messages::{party_names, receiver, sender};
use crate::account_names::PageNames;
use crate::args::CallTimeout;
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::json::indented;
use crate::output::sanitize::{clean, clean_lines};
use crate::output::spinner::Spinner;
use crate::output::table::facts;
use crate::signals::StopSignals;

/// Number of the thread's latest messages among which the reply is searched.
const REPLY_SEARCH_LIMIT: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct Message {
    #[command(subcommand)]
    what: MessageAction,
}

#[derive(Debug, Subcommand)]
enum MessageAction {
    /// Show the message with this id
    Get(Get),
}

#[derive(Debug, Args)]
struct Get {
    /// Which message, as `send` and `message-search --json` name it
    #[arg(value_name = "ID", value_parser = crate::args::not_blank)]
    message_id: String,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Message {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let MessageAction::Get(get) = self.what;
        get.run(global, output).await
    }
}

/// A message and its reply.
struct MessageWithReply {
    message: HistoryMessage,
    reply: Option<HistoryMessage>,
}

impl Get {
    async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let look = async {
            let registry = connect_registry(global).await?;
            let registry = registry.with_timeout(self.timeout.duration());
            let found = self.find(&registry).await?;
            let parties: Vec<HistoryMessage> = [Some(&found.message), found.reply.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            let names = party_names(&registry, &parties, output).await;
            Ok::<_, Failure>((found, names))
        };
        let spinner = Spinner::start(output, "waiting for registry.message_search".to_owned());
        let (found, names) = StopSignals::listen()?
            .unless(async { look.await.map_err(Exit::from) })
            .await?;
        spinner.end();
        match output.is_json() {
            true => output.document(&found.document())?,
            false => output.line(found.text(&names, output))?,
        }
        Ok(())
    }

    async fn find(&self, registry: &RegistryClient) -> Result<MessageWithReply, Failure> {
        let wanted = self.message_id.trim();
        let request = MessageSearchRequest {
            filters: MessageSearchFilters {
                message_id: Some(wanted.to_owned()),
                ..Default::default()
            },
            limit: 1,
            cursor: None,
        };
        let page = registry
            .call(&request)
            .await
            .map_err(|error| registry_failure(&error))?;
        let message = match page.messages.into_iter().next() {
            Some(message) if message.message_id == wanted => message,
            // An old registry that does not know the filter returns any message.
            Some(_) => {
                return Err(Failure::refused("this registry cannot look a message up by its id")
                    .hint("`agentnet message-search` with other filters finds it")
                    .with_network());
            }
            None => {
                return Err(Failure::refused("not_found")
                    .hint(format!(
                        "there is no message {:?} in the history: `agentnet message-search` shows those there are",
                        clean(wanted)
                    ))
                    .with_network());
            }
        };
        let request = ThreadMessagesRequest {
            thread_id: message.thread_id.clone(),
            limit: REPLY_SEARCH_LIMIT,
            cursor: None,
        };
        let thread = registry
            .call(&request)
            .await
            .map_err(|error| registry_failure(&error))?;
        let answers = |other: &HistoryMessage| {
            let follows = other.parent_message_id.as_deref() == Some(wanted);
            follows && [kind::REPLY, kind::ERROR].contains(&other.kind.as_str())
        };
        // Latest first: the last match is the earliest reply.
        let reply = thread.messages.into_iter().rfind(answers);
        Ok(MessageWithReply { message, reply })
    }
}

impl MessageWithReply {
    /// Milliseconds from the message to its reply, by the clocks of their senders.
    fn latency_ms(&self) -> Option<i64> {
        let sent = Timestamp::parse(&self.message.sent_at)?;
        let replied = Timestamp::parse(&self.reply.as_ref()?.sent_at)?;
        Some(replied.micros_since(sent).max(0) / 1000)
    }

    fn document(&self) -> String {
        let mut out = ObjectWriter::new();
        out.raw("message", &self.message.encode());
        match &self.reply {
            Some(reply) => out.raw("reply", &reply.encode()),
            None => out.raw("reply", "null"),
        };
        match self.latency_ms() {
            Some(latency) => out.raw("latency_ms", &latency.to_string()),
            None => out.raw("latency_ms", "null"),
        };
        out.finish()
    }

    fn text(&self, names: &PageNames, output: Output) -> String {
        let message = &self.message;
        let mut rows = vec![
            ("Message", clean(&message.message_id).into_owned()),
            ("Thread", clean(&message.thread_id).into_owned()),
            ("Kind", clean(&message.kind).into_owned()),
            ("From", sender(message, names)),
            ("To", receiver(message, names, output)),
            ("Sent", clean(&message.sent_at).into_owned()),
            ("Stored", clean(&message.received_at).into_owned()),
        ];
        if let Some(parent) = &message.parent_message_id {
            rows.push(("Follows", clean(parent).into_owned()));
        }
        if let Some(reply) = &self.reply {
            rows.push(("Answered by", clean(&reply.message_id).into_owned()));
        }
        if let Some(latency) = self.latency_ms() {
            rows.push(("Latency", format!("{latency} ms")));
        }
        let mut text = facts(output, rows);
        text += &format!("\n\n{}", clean_lines(&indented(&message.payload)));
        if let Some(reply) = &self.reply {
            text += &format!(
                "\n\n{} from {}\n\n{}",
                clean(&reply.kind),
                sender(reply, names),
                clean_lines(&indented(&reply.payload))
            );
        }
        text
    }
}

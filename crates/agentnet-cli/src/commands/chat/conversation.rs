//! The conversation: sends questions, shows answers, runs commands.

use std::io::Write as _;
use std::time::Duration;

use agentnet::protocol::payload_text::extract_text;
use agentnet::{AgentNode, ReplyStream, ResolveError, StreamError, StreamExt as _, StreamRequest};
use agentnet_protocol::RawJson;
use agentnet_protocol::rpc::ThreadMessagesRequest;
use agentnet_protocol::target::Target;

use super::editor::Unfinished;
use super::incoming::NOT_ANSWERED;
use super::input_parser::{COMMANDS, ChatCommand};
use crate::account_names::AccountNames;
use crate::commands::send::shown;
use crate::did_you_mean::{delivery_failure, stream_failure};
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::json::indented;
use crate::output::sanitize::{at, clean, clean_lines, indented_lines, list};
use crate::output::spinner::Spinner;
use crate::output::table::Rows;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// A conversation: agent, target, thread and display options.
pub(super) struct Conversation {
    pub(super) node: AgentNode,
    pub(super) target: Target,
    pub(super) thread_id: String,
    /// The parent of the next message.
    pub(super) parent: Option<String>,
    pub(super) timeout: Duration,
    pub(super) raw: bool,
    pub(super) output: Output,
    /// Whether a person types, who can go on after a failure.
    pub(super) interactive: bool,
    pub(super) unfinished: Unfinished,
}

impl Conversation {
    pub(super) fn prompt(&self) -> String {
        format!("{} › ", shown(&self.target))
    }

    /// Checks that the username of a target exists. Without an answer from the registry, sending will report it.
    pub(super) async fn check_target(&self, target: &Target, global: &Global) -> Result<(), Exit> {
        let Target::Username(name) = target else { return Ok(()) };
        let _spinner = Spinner::start(self.output, format!("looking for {}", shown(target)));
        match self.node.resolve_username(name).await {
            Err(error @ ResolveError::NotFound(_)) => Err(delivery_failure(global, error.into()).await.into()),
            _ => Ok(()),
        }
    }

    /// Sends a question and shows the answer as it comes. Ctrl-C cancels it.
    pub(super) async fn ask(&mut self, text: &str, global: &Global, signals: &mut StopSignals) -> Result<(), Exit> {
        let payload = RawJson::from(agentnet::json!({ "text": text }));
        let node = &self.node;
        let request: StreamRequest = match &self.target {
            Target::Account(id) => node.request_stream_account(id, payload),
            Target::Username(name) => node.request_stream_username(name, payload),
            Target::Capability(name) => node.request_stream_capability(name, payload),
        };
        let mut request = request
            .thread(&self.thread_id)
            .timeout(self.timeout)
            .idle_timeout(self.timeout);
        if let Some(parent) = &self.parent {
            request = request.parent(parent);
        }
        let answer = signals.unless(async {
            match self.show(request).await {
                Ok(answered) => Ok(Some(answered)),
                // Not in a script, which could take the next answer for this one.
                Err(ShowError::Stream(StreamError::Failed { code, detail }))
                    if self.interactive && code == NOT_ANSWERED =>
                {
                    self.output.note(format!("({})", clean(&detail)));
                    Ok(None)
                }
                Err(ShowError::Stream(error)) => Err(stream_failure(global, error).await.into()),
                Err(ShowError::Output(error)) => Err(error.into()),
            }
        });
        if let Some((message_id, thread_id)) = answer.await? {
            self.parent = Some(message_id);
            self.thread_id = thread_id.unwrap_or_else(|| self.thread_id.clone());
        }
        Ok(())
    }

    /// Shows the answer; returns its message id and thread.
    async fn show(&self, request: StreamRequest) -> Result<(String, Option<String>), ShowError> {
        let spinner = Spinner::start(
            self.output,
            format!("waiting for {}, Ctrl-C gives up", shown(&self.target)),
        );
        let mut answer: ReplyStream = request.await?;
        // Locked until the end of the answer's line: nothing else is written into it.
        let mut unfinished = None;
        let mut writer = AnswerWriter::new(self);
        while let Some(piece) = answer.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    writer.end()?;
                    return Err(error.into());
                }
            };
            spinner.end();
            if !self.raw && !self.output.is_json() {
                if unfinished.is_none() {
                    unfinished = Some(self.unfinished.lock().await);
                }
                writer.piece(&piece.value)?;
            }
        }
        spinner.end();
        let whole = answer.finish().await?;
        if unfinished.is_none() {
            unfinished = Some(self.unfinished.lock().await);
        }
        let message = &whole.message;
        if self.raw || self.output.is_json() {
            let body = message.envelope().encode();
            let text = String::from_utf8_lossy(&body);
            match self.raw && self.output.is_terminal() {
                true => self.output.document(&text)?,
                false => self.output.document_line(&text)?,
            }
        } else if whole.deltas == 0
            && whole.text.is_empty()
            && let Some(result) = &whole.result
        {
            writer.piece(result)?;
        } else {
            writer.rest(&whole.text)?;
        }
        let is_withdrawn = writer.is_withdrawn(&whole.text);
        writer.end()?;
        drop(writer);
        drop(unfinished);
        if is_withdrawn {
            self.output
                .note("note: the whole text of the answer is empty, whatever its pieces said");
        }
        let thread_id = message.thread_id.as_deref().map(str::to_owned);
        Ok((message.message_id.to_string(), thread_id))
    }

    pub(super) async fn run(
        &mut self,
        command: ChatCommand,
        global: &Global,
        signals: &mut StopSignals,
    ) -> Result<(), Exit> {
        match command {
            ChatCommand::Help => {
                let width = COMMANDS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
                for (name, what) in COMMANDS {
                    self.output.line(format!(
                        "{}  {what}",
                        self.output.tint(Tint::Bold, &format!("{name:<width$}"))
                    ))?;
                }
                Ok(())
            }
            ChatCommand::To(target) => {
                signals.unless(self.check_target(&target, global)).await?;
                self.target = target;
                Ok(())
            }
            ChatCommand::ShowThread => Ok(self.output.line(clean(&self.thread_id))?),
            ChatCommand::Thread(thread_id) => {
                self.thread_id = thread_id;
                self.parent = None;
                Ok(())
            }
            ChatCommand::Raw => {
                self.raw = !self.raw;
                self.output.note(if self.raw {
                    "answers are shown as JSON"
                } else {
                    "answers are shown as text"
                });
                Ok(())
            }
            ChatCommand::Agents => signals.unless(self.agents()).await,
            ChatCommand::History(count) => signals.unless(self.history(count)).await,
        }
    }

    async fn agents(&self) -> Result<(), Exit> {
        let online = self
            .node
            .list_online()
            .await
            .map_err(|error| registry_failure(&error))?;
        let mut rows =
            Rows::with_dots(self.output, &["Username", "Name", "Capabilities"]).yielding(&["Capabilities", "Name"]);
        for agent in &online {
            let cells = [
                at(agent.username.as_deref()),
                clean(&agent.name).into_owned(),
                list(&agent.capabilities),
            ];
            rows.push_with_dot(true, cells);
        }
        Ok(self.output.line(rows.finish())?)
    }

    async fn history(&self, count: usize) -> Result<(), Exit> {
        let request = ThreadMessagesRequest {
            thread_id: self.thread_id.clone(),
            limit: count,
            cursor: None,
        };
        let page = self
            .node
            .thread_messages(&request)
            .await
            .map_err(|error| registry_failure(&error))?;
        let registry = self
            .node
            .registry()
            .map_err(|error| Failure::error(error.to_string()))?;
        let mut names = AccountNames::open(registry).await;
        for message in page.messages.iter().rev() {
            let from = names
                .sender(
                    message.from_account_id.as_deref(),
                    message.from_agent.as_deref().unwrap_or_default(),
                )
                .await;
            let payload = message.payload.view();
            let text = extract_text(&payload).unwrap_or_else(|| message.payload.get().to_owned());
            let time = self.output.tint(Tint::Dim, &self.output.stamp(&message.sent_at));
            self.output.line(format!(
                "{time}  {}: {}",
                self.output.tint(Tint::Bold, &from),
                indented_lines(&text)
            ))?;
        }
        if page.messages.is_empty() {
            self.output.note("there are no messages in this thread yet");
        }
        Ok(())
    }
}

/// Why an answer could not be shown.
enum ShowError {
    Stream(StreamError),
    Output(std::io::Error),
}

impl From<StreamError> for ShowError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<std::io::Error> for ShowError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes an answer to the screen, after the name of its sender.
struct AnswerWriter {
    label: String,
    begun: bool,
    /// The text of the pieces so far.
    written_text: String,
}

impl Drop for AnswerWriter {
    /// Ends the line of a cancelled answer.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl AnswerWriter {
    fn new(conversation: &Conversation) -> Self {
        let label = match conversation.output.is_terminal() {
            true => format!(
                "{}: ",
                conversation.output.tint(Tint::Green, &shown(&conversation.target))
            ),
            false => String::new(),
        };
        Self {
            label,
            begun: false,
            written_text: String::new(),
        }
    }

    fn piece(&mut self, value: &RawJson) -> std::io::Result<()> {
        match agentnet::protocol::stream::piece_text(value) {
            Some(text) => {
                self.written_text.push_str(&text);
                self.text(&text)
            }
            None => self.text(&indented(value)),
        }
    }

    /// Whether the pieces had text, but the whole answer has none.
    fn is_withdrawn(&self, whole: &str) -> bool {
        whole.is_empty() && !self.written_text.is_empty()
    }

    /// Writes the rest of the whole text after the pieces. If the pieces are not its beginning, writes all of it on a new line.
    fn rest(&mut self, whole: &str) -> std::io::Result<()> {
        match whole.strip_prefix(self.written_text.as_str()) {
            Some("") => Ok(()),
            Some(rest) => self.text(rest),
            None => {
                self.text("\n")?;
                self.text(whole)
            }
        }
    }

    fn text(&mut self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.begun {
            out.write_all(self.label.as_bytes())?;
            self.begun = true;
        }
        out.write_all(clean_lines(text).as_bytes())?;
        out.flush()
    }

    fn end(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.begun) {
            let mut out = std::io::stdout().lock();
            out.write_all(b"\n")?;
            out.flush()?;
        }
        Ok(())
    }
}

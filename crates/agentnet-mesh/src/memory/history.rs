//! Reads the newest part of a thread from the registry: what was said since the last checkpoint, and that checkpoint.
//!
//! A checkpoint says how many messages of the thread it covers, counted from the first one. The registry's pages run
//! newest first, so a message's number is the number of all messages less the number of newer ones.

use std::collections::{HashMap, HashSet};

use agentnet::protocol::Timestamp;
use agentnet::protocol::compaction::Checkpoint;
use agentnet::protocol::rpc::{HistoryMessage, ThreadMessagesRequest};
use agentnet::protocol::stream::{StreamFrame, StreamPart};
use agentnet::{AgentNode, RegistryError};

use super::entry::{Content, end_text};
use super::estimate;

/// Messages of one page.
const PAGE: usize = 200;
/// Pages that are read at most: the frames of streams fill some.
const MAX_PAGES: usize = 10;
/// Follows the text of a stream that has no end.
const BROKEN_OFF: &str = "… (broken off)";

/// Something that was said in a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Id of the message; of a streamed answer, the id of the stream.
    pub id: String,
    /// How many messages of the thread are newer, of whatever kind.
    pub position: u64,
    /// Account of the sender.
    pub from_account_id: Option<String>,
    /// What the sender calls itself.
    pub from_label: Option<String>,
    /// Account of the receiver.
    pub to_account_id: Option<String>,
    /// When it was sent, as the sender wrote it.
    pub sent_at: String,
    /// When the registry received it; empty for a message that it may not have yet.
    pub received_at: String,
    /// Who says it.
    pub speech: Speech,
    /// Text of the message.
    pub text: String,
}

/// Who says something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speech {
    /// Somebody else, or the agent itself to somebody else.
    #[default]
    Message,
    /// The agent itself, as its answer.
    Answer,
    /// The agent to itself.
    Note,
}

/// The thread that is read, and the agent that reads it.
#[derive(Debug, Clone, Copy)]
pub struct ThreadView<'a> {
    /// Id of the thread.
    pub thread_id: &'a str,
    /// Account of the agent.
    pub own: &'a str,
    /// The message that is answered: it is left out, and so is what came after it.
    pub current: Option<&'a str>,
}

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Texts that are shown.
    pub entries: usize,
    /// Messages of whatever kind.
    pub messages: u64,
    /// Estimated tokens of the texts.
    pub tokens: u64,
}

/// The newest part of a thread.
#[derive(Debug, Default)]
pub struct ThreadTail {
    /// What was said, the newest first; nothing that the checkpoint covers.
    pub entries: Vec<Entry>,
    /// The checkpoint that covers the most.
    pub checkpoint: Option<Checkpoint>,
    /// Messages in the thread, if the registry said.
    pub message_count: Option<u64>,
    /// Whether everything since the checkpoint, or the first message, was read.
    pub is_complete: bool,
    /// Estimated tokens of the entries.
    pub tokens: u64,
    /// Ids of all messages that were read.
    pub ids: HashSet<String>,
}

/// Reads a thread. `message_count` is what the registry said before, if it was asked.
///
/// # Errors
/// [`RegistryError`].
pub async fn read_thread(
    node: &AgentNode,
    view: ThreadView<'_>,
    limits: ReadLimits,
    message_count: Option<u64>,
) -> Result<ThreadTail, RegistryError> {
    let mut reading = Reading::new(view, message_count);
    let mut request = ThreadMessagesRequest {
        thread_id: view.thread_id.to_owned(),
        limit: limits.entries.saturating_add(8).clamp(10, PAGE),
        cursor: None,
    };
    let mut has_older_checkpoint = false;
    let mut is_complete = false;
    for page in 0..MAX_PAGES {
        let reply = node.thread_messages(&request).await?;
        let is_last = reply.next_cursor.is_none();
        let messages = reply.messages;
        if page == 0 && is_last {
            reading.message_count = Some(messages.len() as u64);
        } else if page == 0 {
            // After the page: a count that is too large covers too little, one that is too small would hide messages.
            let status = node.thread_status(view.thread_id).await.ok();
            let count = status
                .as_ref()
                .map(|status| u64::try_from(status.thread.message_count).unwrap_or_default());
            reading.message_count = reading.message_count.or(count);
            has_older_checkpoint = status.is_some_and(|status| status.thread.latest_checkpoint_end > 0);
        }
        for message in messages {
            reading.push(message);
        }
        if is_last || reading.is_covered(reading.read) {
            is_complete = true;
            break;
        }
        let is_full = reading.read >= limits.messages
            || reading.entries.len() >= limits.entries
            || reading.tokens >= limits.tokens;
        if is_full && (!has_older_checkpoint || reading.checkpoint.is_some()) {
            break;
        }
        request.cursor = reply.next_cursor;
        request.limit = PAGE;
    }
    Ok(reading.finish(is_complete))
}

/// What the id of a message `task.assign` begins with, before the id of the task (PROTOCOL.md section 22.4).
const ASSIGNMENT_PREFIX: &str = "task_assign_";

/// The id of the message that tells a worker of a task.
pub(crate) fn assignment_id(task_id: &str) -> String {
    format!("{ASSIGNMENT_PREFIX}{task_id}")
}

/// A thread that is being read.
#[derive(Debug)]
struct Reading<'a> {
    view: ThreadView<'a>,
    message_count: Option<u64>,
    /// Messages so far.
    read: u64,
    entries: Vec<Entry>,
    tokens: u64,
    ids: HashSet<String>,
    checkpoint: Option<Checkpoint>,
    /// When the registry received the current message.
    current_received_at: Option<Timestamp>,
    /// Streams whose end does not repeat their text, by id.
    open_streams: HashMap<String, OpenedStream>,
    /// Streams whose text is known.
    ended_streams: HashSet<String>,
}

/// A stream whose text is put together from its pieces.
#[derive(Debug)]
struct OpenedStream {
    /// Place of its entry.
    index: usize,
    from_account_id: Option<String>,
    is_broken: bool,
    pieces: Vec<(u64, String)>,
}

impl<'a> Reading<'a> {
    fn new(view: ThreadView<'a>, message_count: Option<u64>) -> Self {
        Self {
            view,
            message_count,
            read: 0,
            entries: Vec::new(),
            tokens: 0,
            ids: HashSet::new(),
            checkpoint: None,
            current_received_at: None,
            open_streams: HashMap::new(),
            ended_streams: HashSet::new(),
        }
    }

    /// The number of a message in its thread, from 1.
    fn number(&self, position: u64) -> Option<u64> {
        self.message_count.map(|count| count.saturating_sub(position))
    }

    /// Whether the checkpoint covers the message with so many newer ones.
    fn is_covered(&self, position: u64) -> bool {
        let covered = self
            .checkpoint
            .as_ref()
            .map(|checkpoint| u64::try_from(checkpoint.covers_end).unwrap_or_default());
        matches!((self.number(position), covered), (Some(number), Some(covered)) if number <= covered)
    }

    fn push(&mut self, message: HistoryMessage) {
        let position = self.read;
        self.read += 1;
        self.ids.insert(message.message_id.clone());
        if self.view.current == Some(&*message.message_id) {
            self.current_received_at = Timestamp::parse(&message.received_at);
            return;
        }
        match Content::of(&message, self.view.own) {
            Content::Text(text) => self.add(message, position, Speech::Message, text),
            Content::Answer(text) => self.add(message, position, Speech::Answer, text),
            Content::TaskAnswer { task_id, task, text } => {
                let asked = HistoryMessage {
                    message_id: assignment_id(&task_id),
                    from_account_id: message.to_account_id.clone(),
                    to_account_id: message.from_account_id.clone(),
                    sent_at: message.sent_at.clone(),
                    received_at: message.received_at.clone(),
                    ..HistoryMessage::default()
                };
                self.add(message, position, Speech::Answer, text);
                self.add(asked, position, Speech::Message, task);
            }
            Content::Note(text) => self.add(message, position, Speech::Note, text),
            Content::Checkpoint(checkpoint) => self.found_checkpoint(checkpoint, position),
            Content::Frame(frame) => self.push_frame(message, position, frame),
            Content::Hidden => {}
        }
    }

    fn add(&mut self, message: HistoryMessage, position: u64, speech: Speech, text: String) {
        if self.is_covered(position) {
            return;
        }
        // A task that was told by a message, and whose result repeats what was asked for.
        let is_told = || self.entries.iter().any(|entry| entry.id == message.message_id);
        if message.message_id.starts_with(ASSIGNMENT_PREFIX) && is_told() {
            return;
        }
        self.tokens += estimate::tokens(&text);
        self.entries.push(Entry {
            id: message.message_id,
            position,
            from_account_id: message.from_account_id,
            from_label: message.from_agent,
            to_account_id: message.to_account_id,
            sent_at: message.sent_at,
            received_at: message.received_at,
            speech,
            text,
        });
    }

    /// Keeps the checkpoint that covers the most. None covers itself or what comes later: one that claims it is false.
    fn found_checkpoint(&mut self, checkpoint: Checkpoint, position: u64) {
        let end = u64::try_from(checkpoint.covers_end).unwrap_or_default();
        let is_possible = self.number(position).is_none_or(|number| end < number);
        let best = self.checkpoint.as_ref().map_or(0, |best| best.covers_end);
        if is_possible && checkpoint.covers_end > best && !checkpoint.summary.trim().is_empty() {
            self.checkpoint = Some(checkpoint);
        }
    }

    fn push_frame(&mut self, mut message: HistoryMessage, position: u64, frame: StreamFrame) {
        let id = frame.stream_id.clone();
        if let Some(stream) = self.open_streams.get_mut(&id) {
            if let (StreamPart::Delta { .. }, true) = (&frame.part, stream.from_account_id == message.from_account_id) {
                let text = frame.part.text().map(|text| text.into_owned());
                stream.pieces.extend(text.map(|text| (frame.seq, text)));
            }
            return;
        }
        if self.ended_streams.contains(&id) || matches!(frame.part, StreamPart::Start { .. }) {
            return;
        }
        let is_own = message.from_account_id.as_deref() == Some(self.view.own);
        let speech = if is_own { Speech::Answer } else { Speech::Message };
        message.message_id.clone_from(&id);
        if let Some(text) = end_text(&frame) {
            self.ended_streams.insert(id);
            self.add(message, position, speech, text);
            return;
        }
        let piece = frame.part.text().map(|text| (frame.seq, text.into_owned()));
        let stream = OpenedStream {
            index: self.entries.len(),
            from_account_id: message.from_account_id.clone(),
            is_broken: !matches!(frame.part, StreamPart::End { .. }),
            pieces: piece.into_iter().collect(),
        };
        let before = self.entries.len();
        self.add(message, position, speech, String::new());
        if self.entries.len() > before {
            self.open_streams.insert(id, stream);
        } else {
            self.ended_streams.insert(id);
        }
    }

    fn finish(mut self, is_complete: bool) -> ThreadTail {
        for mut stream in std::mem::take(&mut self.open_streams).into_values() {
            stream.pieces.sort_by_key(|(seq, _)| *seq);
            stream.pieces.dedup_by_key(|(seq, _)| *seq);
            let mut text: String = stream.pieces.into_iter().map(|(_, piece)| piece).collect();
            if stream.is_broken && !text.is_empty() {
                text.push_str(BROKEN_OFF);
            }
            if let Some(entry) = self.entries.get_mut(stream.index) {
                self.tokens += estimate::tokens(&text);
                entry.text = text;
            }
        }
        let current = self.current_received_at;
        let came_later = |entry: &Entry| match (current, Timestamp::parse(&entry.received_at)) {
            (Some(current), Some(received)) => received > current,
            _ => false,
        };
        self.entries
            .retain(|entry| !entry.text.trim().is_empty() && !came_later(entry));
        ThreadTail {
            entries: self.entries,
            checkpoint: self.checkpoint,
            message_count: self.message_count,
            is_complete,
            tokens: self.tokens,
            ids: self.ids,
        }
    }
}

#[cfg(test)]
mod tests;

//! Puts the payloads of a stream in order again, each once.
//!
//! ```
//! use agentnet_protocol::Timestamp;
//! use agentnet_protocol::stream::{StreamAssembler, StreamFrame, StreamWriter};
//!
//! let mut writer = StreamWriter::new("s1");
//! let now = Timestamp::from_micros(0);
//! let mut payloads = vec![writer.start(None, now), writer.text("Hel"), writer.text("lo"), writer.end(None, now)];
//! payloads.reverse();
//!
//! let mut assembler = StreamAssembler::new();
//! for payload in payloads.iter().chain(&payloads) {
//!     let frame = StreamFrame::parse(&payload.view())?.expect("a payload of a stream");
//!     assembler.push(frame)?;
//!     while let Some(frame) = assembler.pop() {
//!         if let Some(delta) = frame.part.text() {
//!             print!("{delta}");
//!         }
//!     }
//! }
//! assert!(assembler.is_complete());
//! assert_eq!(assembler.text(), "Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod limits;
mod pending;

use std::collections::BTreeMap;

pub use self::limits::{AssembleError, StreamLimits};
use self::pending::{Form, Held, Last, is_over};
use super::frame::{StreamFrame, StreamPart};

/// Takes the frames of one stream in any order and any number of times, and gives each once and in order.
///
/// A numbered stream is complete when its end and every number before it have come. A stream whose start has no number, or
/// shares it with a piece, is in the open form of the Python implementation: its pieces count from 0 or 1. It is complete with
/// an end that gives the whole text, whatever is missing then. Without that text it is complete when no number between its
/// pieces is missing and the end's number is no higher than the next one; [`end_here`](Self::end_here) lifts the last
/// condition.
///
/// Pure: it knows no clock, so that its user decides how long to wait for what is [missing](Self::missing). A frame
/// costs the same, whatever the order.
#[derive(Debug, Default)]
pub struct StreamAssembler {
    limits: StreamLimits,
    stream_id: Option<String>,
    form: Form,
    /// The start, until it is given.
    start: Option<Held>,
    started: bool,
    /// The next piece to be given. A start has number 0, unless a piece has it.
    next: u64,
    /// Whether a piece with number 0 was taken.
    zero: bool,
    /// Whether a piece was given.
    given: bool,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// The highest number of a piece.
    highest_piece: Option<u64>,
    /// The highest number of a frame.
    highest: Option<u64>,
    last: Option<Last>,
    text: String,
    text_bytes: usize,
    complete: bool,
}

impl StreamAssembler {
    /// Assembles the stream of the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Assembles the stream of this id.
    #[must_use]
    pub fn of(stream_id: impl Into<String>) -> Self {
        Self {
            stream_id: Some(stream_id.into()),
            ..Self::default()
        }
    }

    /// Holds no more than this.
    #[must_use]
    pub fn with_limits(mut self, limits: StreamLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes a frame; false where it adds nothing: it was there before, or lies behind the end. Of two different frames with
    /// one number the first counts.
    ///
    /// # Errors
    /// [`AssembleError`]; the frame is not taken then.
    pub fn push(&mut self, frame: StreamFrame) -> Result<bool, AssembleError> {
        match &self.stream_id {
            Some(expected) if *expected != frame.stream_id => {
                return Err(AssembleError::OtherStream {
                    expected: expected.clone(),
                    found: frame.stream_id,
                });
            }
            Some(_) => {}
            None => self.stream_id = Some(frame.stream_id),
        }
        if self.complete {
            return Ok(false);
        }
        let seq = frame.seq;
        let held = Held {
            role: frame.role,
            content_type: frame.content_type,
            part: frame.part,
        };
        let taken = match held.part {
            StreamPart::Start { numbered, .. } => self.push_start(numbered && seq == 0, held),
            StreamPart::Delta { .. } => self.push_piece(seq, held)?,
            StreamPart::End { .. } | StreamPart::Error { .. } => self.push_last(seq, held)?,
        };
        if taken {
            self.highest = self.highest.max(Some(seq));
        }
        Ok(taken)
    }

    fn push_start(&mut self, numbered: bool, start: Held) -> bool {
        if std::mem::replace(&mut self.started, true) {
            return false;
        }
        self.start = Some(start);
        self.form = if numbered && !self.zero {
            Form::Numbered
        } else {
            Form::Open
        };
        if !self.zero {
            self.next = 1;
        }
        true
    }

    fn push_piece(&mut self, seq: u64, piece: Held) -> Result<bool, AssembleError> {
        let behind_the_end = self.place().is_some_and(|place| seq > place);
        let is_zero = seq == 0 && !self.zero;
        if behind_the_end || (seq < self.next && !is_zero) || self.held.contains_key(&seq) {
            return Ok(false);
        }
        let size = piece.part.size();
        let (frames, bytes) = (self.held.len(), self.held_bytes);
        // The frame that all wait for is always welcome.
        let full = frames >= self.limits.held_frames || bytes.saturating_add(size) > self.limits.held_bytes;
        if full && seq != self.next && !is_zero {
            return Err(AssembleError::Full {
                frames,
                bytes,
                missing: self.next,
            });
        }
        if piece.part.text().is_some() {
            let text_bytes = self.text_bytes.saturating_add(size);
            self.check_text(text_bytes)?;
            self.text_bytes = text_bytes;
        }
        self.highest_piece = self.highest_piece.max(Some(seq));
        if is_zero {
            self.zero = true;
            if self.started {
                self.form = Form::Open;
            }
            if self.given {
                // Its turn is over, since pieces from 1 on were given; its text still has a place.
                if let Some(text) = piece.part.text() {
                    self.text.insert_str(0, &text);
                }
                return Ok(true);
            }
            self.next = 0;
        }
        self.held_bytes += size;
        self.held.insert(seq, piece);
        Ok(true)
    }

    fn push_last(&mut self, seq: u64, held: Held) -> Result<bool, AssembleError> {
        if self.last.is_some() {
            return Ok(false);
        }
        if let StreamPart::End { text: Some(text), .. } = &held.part {
            self.check_text(text.len())?;
        }
        let place = Some(seq).filter(|seq| *seq > 0);
        self.last = Some(Last { seq, place, held });
        Ok(true)
    }

    const fn check_text(&self, bytes: usize) -> Result<(), AssembleError> {
        let limit = self.limits.text_bytes;
        if bytes > limit {
            return Err(AssembleError::TextTooLong { limit });
        }
        Ok(())
    }

    /// The next frame in order, if it is there; call it until it is not.
    pub fn pop(&mut self) -> Option<StreamFrame> {
        if let Some(start) = self.start.take() {
            return Some(self.frame(0, start));
        }
        if let Some(seq) = self.next_piece() {
            let piece = self.held.remove(&seq)?;
            self.held_bytes -= piece.part.size();
            self.next = seq.saturating_add(1);
            self.given = true;
            if let Some(text) = piece.part.text() {
                self.text.push_str(&text);
            }
            return Some(self.frame(seq, piece));
        }
        let last = self
            .last
            .take_if(|last| is_over(self.form, self.next, &self.held, last))?;
        if let StreamPart::End { text: Some(text), .. } = &last.held.part {
            self.text.clear();
            self.text.push_str(text);
        }
        self.next = self.next.max(last.seq.saturating_add(1));
        self.complete = true;
        self.held = BTreeMap::new();
        self.held_bytes = 0;
        Some(self.frame(last.seq, last.held))
    }

    /// The number of the piece to be given next, if it is there.
    fn next_piece(&self) -> Option<u64> {
        let (first, _) = self.held.first_key_value()?;
        // Once the whole text is known, it does not matter what is missing.
        let whole_is_known = self.form == Form::Open && self.last.as_ref().is_some_and(Last::has_text);
        let behind_the_end = self.place().is_some_and(|place| *first > place);
        ((*first == self.next || whole_is_known) && !behind_the_end).then_some(*first)
    }

    fn place(&self) -> Option<u64> {
        self.last.as_ref().and_then(|last| last.place)
    }

    /// Says that nothing comes behind the end: a stream in the open form that lacks no number between its pieces is then
    /// complete, whatever number its end has. False for every other stream, and while the end has not come.
    pub fn end_here(&mut self) -> bool {
        let after_the_pieces = self
            .highest_piece
            .map_or(self.next, |highest| highest.saturating_add(1));
        let without_gaps = after_the_pieces.saturating_sub(self.next) <= self.held.len() as u64;
        match &mut self.last {
            Some(last) if self.form == Form::Open && without_gaps => {
                last.place = None;
                true
            }
            _ => false,
        }
    }

    /// Takes a stream whose start has not come as one without a start, if its end gives the whole text: then it is complete.
    pub fn do_without_start(&mut self) -> bool {
        let is_known = self.form == Form::Unknown && self.last.as_ref().is_some_and(Last::has_text);
        if is_known {
            self.started = true;
            self.form = Form::Open;
        }
        is_known
    }

    fn frame(&self, seq: u64, held: Held) -> StreamFrame {
        StreamFrame {
            stream_id: self.stream_id.clone().unwrap_or_default(),
            seq,
            role: held.role,
            content_type: held.content_type,
            part: held.part,
        }
    }

    /// The stream's id, once it is known.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// The text of all pieces that were given so far; after an end that gives the whole text, that text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, without a copy, when nothing more is to come.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Whether the end, or the error, was given.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The number of the frame that comes next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    /// The highest number seen; `None` before the first frame.
    #[must_use]
    pub const fn highest_seq(&self) -> Option<u64> {
        self.highest
    }

    /// The numbers before the end, or else below the highest seen, that have not come, in order. A sender can name any
    /// number: take a few.
    pub fn missing(&self) -> impl Iterator<Item = u64> {
        self.awaited().filter(|seq| !self.held.contains_key(seq))
    }

    /// How many [`missing`](Self::missing) gives.
    #[must_use]
    pub fn missing_count(&self) -> u64 {
        let awaited = self.awaited();
        if awaited.is_empty() {
            return 0;
        }
        let held = self.held.range(awaited.clone()).count() as u64;
        (awaited.end - awaited.start).saturating_sub(held)
    }

    /// The numbers from the next to the last that is known.
    fn awaited(&self) -> std::ops::Range<u64> {
        let after_the_pieces = self.highest_piece.map_or(0, |highest| highest.saturating_add(1));
        let end = match self.place() {
            _ if self.complete => 0,
            Some(place) if self.form != Form::Open => place,
            _ => after_the_pieces,
        };
        self.next..end
    }

    /// The error that a stream ended with, also while pieces before it are missing.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, Option<&str>)> {
        match &self.last.as_ref()?.held.part {
            StreamPart::Error { error, detail, .. } => Some((error, detail.as_deref())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

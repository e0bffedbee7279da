//! Puts the payloads of a stream in order again, each once.
//!
//! ```
//! use agentnet_protocol::stream::{StreamAssembler, StreamFrame, StreamPart, StreamWriter};
//!
//! let mut writer = StreamWriter::new("s1");
//! let mut payloads = vec![writer.start(None), writer.text("Hel"), writer.text("lo"), writer.end(None)];
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

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{StreamFrame, StreamPart};

/// How much an assembler may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Frames that wait for an earlier one. Default 65,536.
    pub held_frames: usize,
    /// Bytes of JSON in the frames that wait. Default 64 MiB.
    pub held_bytes: usize,
    /// Bytes of text in all pieces together, as JSON. Default 64 MiB.
    pub text_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            held_frames: 65_536,
            held_bytes: 64 << 20,
            text_bytes: 64 << 20,
        }
    }
}

/// Why a frame was not taken. The assembler stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// It belongs to another stream.
    #[error("a frame of stream `{found}` among those of `{expected}`")]
    OtherStream {
        /// The stream that is assembled.
        expected: String,
        /// The frame's.
        found: String,
    },
    /// Too much waits for a frame that has not come.
    #[error("{frames} frames ({bytes} bytes) wait for frame {missing}, which has not come")]
    Full {
        /// Frames that wait.
        frames: usize,
        /// Their JSON.
        bytes: usize,
        /// The first that is missing.
        missing: u64,
    },
    /// The text is longer than allowed.
    #[error("the text of the stream exceeds {limit} bytes")]
    TextTooLong {
        /// [`StreamLimits::text_bytes`].
        limit: usize,
    },
}

/// Takes the frames of one stream in any order and any number of times, and gives each once and in order.
///
/// Pure: it knows no clock, so that whoever uses it decides how long to wait for what is [missing](Self::missing). A frame
/// costs constant time, whatever the order.
#[derive(Debug, Default)]
pub struct StreamAssembler {
    limits: StreamLimits,
    stream_id: Option<String>,
    /// The next to be given.
    next: u64,
    held: HashMap<u64, StreamPart>,
    held_bytes: usize,
    /// The highest number seen.
    highest: Option<u64>,
    /// The number of the last part, once it was seen.
    last: Option<u64>,
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
        let behind_the_end = self.last.is_some_and(|last| frame.seq > last);
        if self.complete || frame.seq < self.next || behind_the_end {
            return Ok(false);
        }
        let (held, held_bytes) = (self.held.len(), self.held_bytes);
        let Entry::Vacant(place) = self.held.entry(frame.seq) else {
            return Ok(false);
        };
        let size = part_size(&frame.part);
        // The frame that all wait for is always welcome.
        let full = held >= self.limits.held_frames || held_bytes.saturating_add(size) > self.limits.held_bytes;
        if full && frame.seq != self.next {
            return Err(AssembleError::Full {
                frames: held,
                bytes: held_bytes,
                missing: self.next,
            });
        }
        if frame.part.text().is_some() {
            let text_bytes = self.text_bytes.saturating_add(size);
            if text_bytes > self.limits.text_bytes {
                return Err(AssembleError::TextTooLong {
                    limit: self.limits.text_bytes,
                });
            }
            self.text_bytes = text_bytes;
        }
        if frame.part.is_last() {
            self.last = Some(frame.seq);
        }
        self.highest = self.highest.max(Some(frame.seq));
        self.held_bytes += size;
        place.insert(frame.part);
        Ok(true)
    }

    /// The next frame in order, if it is there; call it until it is not.
    pub fn pop(&mut self) -> Option<StreamFrame> {
        let part = self.held.remove(&self.next)?;
        self.held_bytes -= part_size(&part);
        let seq = self.next;
        self.next += 1;
        if let Some(text) = part.text() {
            self.text.push_str(&text);
        }
        if part.is_last() {
            self.complete = true;
            self.held = HashMap::new();
            self.held_bytes = 0;
        }
        Some(StreamFrame {
            stream_id: self.stream_id.clone().unwrap_or_default(),
            seq,
            part,
        })
    }

    /// The stream's id, once it is known.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// The text of all pieces that were given so far.
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

    /// The numbers below the highest seen that have not come, in order. A sender can name any number: take a few.
    pub fn missing(&self) -> impl Iterator<Item = u64> {
        let end = if self.complete {
            None
        } else {
            self.last.or(self.highest)
        };
        let range = self.next..end.map_or(self.next, |end| end.saturating_add(1));
        range.filter(|seq| !self.held.contains_key(seq))
    }

    /// How many [`missing`](Self::missing) gives.
    #[must_use]
    pub fn missing_count(&self) -> u64 {
        if self.complete {
            return 0;
        }
        let Some(end) = self.last.or(self.highest) else {
            return 0;
        };
        let held = self.held.keys().filter(|seq| **seq <= end).count() as u64;
        (end.saturating_add(1)).saturating_sub(self.next).saturating_sub(held)
    }

    /// The error that a stream ended with, also while pieces before it are missing.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, Option<&str>)> {
        match self.held.get(&self.last?)? {
            StreamPart::Error { error, detail } => Some((error, detail.as_deref())),
            _ => None,
        }
    }
}

fn part_size(part: &StreamPart) -> usize {
    let json = |json: &Option<crate::RawJson>| json.as_ref().map_or(0, |json| json.get().len());
    match part {
        StreamPart::Start { metadata } => json(metadata),
        StreamPart::Delta { delta } => delta.get().len(),
        StreamPart::End { result } => json(result),
        StreamPart::Error { error, detail } => error.len() + detail.as_ref().map_or(0, String::len),
    }
}

#[cfg(test)]
mod tests;

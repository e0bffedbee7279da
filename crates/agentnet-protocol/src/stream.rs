//! Streamed replies: the payloads of messages of kind `stream`.
//!
//! A stream is a start, any number of deltas, and an end or an error, which all carry the stream's id. Two forms are read. In
//! the *numbered* form, which [`StreamWriter`] writes, the start has number 0 and all that follows counts on without gaps, so
//! that a reader can put the frames in order and see what is missing:
//!
//! ```json
//! {"type":"stream_start","stream_id":"s1","seq":0,"role":"assistant","content_type":"text/plain","started_at":"…","metadata":{}}
//! {"type":"stream_delta","stream_id":"s1","seq":1,"role":"assistant","content_type":"text/plain","delta":"Hel"}
//! {"type":"stream_delta","stream_id":"s1","seq":2,"role":"assistant","content_type":"text/plain","delta":"lo"}
//! {"type":"stream_end","stream_id":"s1","seq":3,…,"finished_at":"…","metadata":{},"text":"Hello","result":{"words":1}}
//! {"type":"stream_error","stream_id":"s1","seq":3,…,"finished_at":"…","metadata":{},"error":"handler_error","detail":"…"}
//! ```
//!
//! In the *open* form of the Python implementation the start has no number, the deltas count from 0 or 1, and the end has any
//! number that is not below theirs. In both forms the `text` of the end, where it is given, is the whole text, whatever the
//! deltas said.
//!
//! ```
//! use agentnet_protocol::Timestamp;
//! use agentnet_protocol::stream::{StreamFrame, StreamWriter};
//!
//! let mut stream = StreamWriter::new("s1");
//! stream.start(None, Timestamp::from_micros(0));
//! let payload = stream.text("Hello");
//! let frame = StreamFrame::parse(&payload.view()).unwrap().unwrap();
//! assert_eq!((frame.stream_id.as_str(), frame.seq, frame.part.text().as_deref()), ("s1", 1, Some("Hello")));
//! ```
//!
//! [`StreamAssembler`] puts payloads in order again, and [`StreamCancel`] is the message of a reader that cancels
//! (docs/STREAMING_PROTOCOL.md).

mod assembler;
mod cancel;
mod frame;
mod writer;

pub use assembler::{AssembleError, StreamAssembler, StreamLimits};
pub use cancel::{CANCEL_TYPE, StreamCancel, cancel_subject};
pub use frame::{StreamError, StreamFrame, StreamPart, piece_text};
pub use writer::{StreamWriter, WholeText};

/// `type` of the first payload.
pub const START_TYPE: &str = "stream_start";
/// `type` of a piece.
pub const DELTA_TYPE: &str = "stream_delta";
/// `type` of the last payload of a stream that went well.
pub const END_TYPE: &str = "stream_end";
/// `type` of the last payload of a stream that failed.
pub const ERROR_TYPE: &str = "stream_error";
/// `role` of a frame that names none.
pub const DEFAULT_ROLE: &str = "assistant";
/// `content_type` of a frame that names none.
pub const DEFAULT_CONTENT_TYPE: &str = "text/plain";

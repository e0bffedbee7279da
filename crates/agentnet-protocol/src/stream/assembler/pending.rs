//! Frames that wait for their turn, and when a stream is over.

use std::collections::BTreeMap;

use crate::Text;
use crate::stream::frame::StreamPart;

/// How the frames of a stream are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    /// The start has not come.
    #[default]
    Unknown,
    /// From the start, which has number 0, without gaps to the end.
    Numbered,
    /// The start has no number of its own.
    Open,
}

/// A frame that waits to be given.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) role: Text,
    pub(super) content_type: Text,
    pub(super) part: StreamPart,
}

/// The end, or the error, that waits to be given.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) seq: u64,
    /// Its number, if it says which pieces come before it. 0 has no meaning: programs of the Python implementation give it to
    /// errors.
    pub(super) place: Option<u64>,
    pub(super) held: Held,
}

impl Last {
    /// Whether it gives the whole text.
    pub(super) const fn has_text(&self) -> bool {
        matches!(self.held.part, StreamPart::End { text: Some(_), .. })
    }
}

/// Whether the end is next, when no piece can be given.
pub(super) fn is_over(form: Form, next: u64, held: &BTreeMap<u64, Held>, last: &Last) -> bool {
    let in_place = last.place.is_none_or(|place| place <= next);
    match (form, &last.held.part) {
        (Form::Open, StreamPart::Error { .. }) => true,
        (Form::Open, StreamPart::End { text: Some(_), .. }) => true,
        (Form::Open, _) => in_place && held.is_empty(),
        // A number that says nothing: what has come belongs before it.
        (_, StreamPart::End { .. }) if last.place.is_none() => held.is_empty(),
        _ => in_place,
    }
}

//! Output of the writers of this module: a buffer, or a byte count.

use std::ops::Range;

/// Receives text in pieces.
pub(super) trait Sink {
    fn push(&mut self, text: &str);

    /// The number of bytes pushed so far.
    fn position(&self) -> usize;

    /// Replaces everything from `start` on by these parts of it, joined with a separator.
    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str);
}

impl Sink for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }

    fn position(&self) -> usize {
        self.len()
    }

    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str) {
        let mut arranged = String::with_capacity(self.len() - start);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                arranged.push_str(separator);
            }
            arranged.push_str(&self[part.clone()]);
        }
        self.truncate(start);
        self.push_str(&arranged);
    }
}

/// Counts bytes and keeps none.
pub(super) struct ByteCount(pub(super) usize);

impl Sink for ByteCount {
    fn push(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn position(&self) -> usize {
        self.0
    }

    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str) {
        let kept: usize = parts.iter().map(Range::len).sum();
        self.0 = start + kept + separator.len() * parts.len().saturating_sub(1);
    }
}

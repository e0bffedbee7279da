//! Server-sent events: the bytes of an answer in, events out.
//!
//! The parser follows the rules of the HTML standard for event streams with two differences: `id` and `retry` are ignored,
//! because a POST is never reconnected, and [`SseParser::finish`] gives out a last event that lacks its blank line.

/// Bytes of one event at most: the OpenAI responses API repeats the whole answer and all tools in its last one.
pub(crate) const MAX_EVENT_BYTES: usize = 8 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Type of the event; empty where the stream names none.
    pub(crate) name: String,
    /// Lines of data, joined by line feeds. Bytes that are not UTF-8 are replaced.
    pub(crate) data: String,
}

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTooLong;

/// Parser of one stream.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    /// The line that is not complete yet.
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    is_after_cr: bool,
    is_after_first_line: bool,
}

impl SseParser {
    /// Reads bytes, cut anywhere, and appends the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLong> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.is_after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend_line(rest);
            };
            self.extend_line(&rest[..end])?;
            self.is_after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(events);
        }
        Ok(())
    }

    /// The stream has ended: appends the event that was not complete, if there is one.
    pub(crate) fn finish(&mut self, events: &mut Vec<SseEvent>) {
        if !self.line.is_empty() {
            self.end_line(events);
        }
        self.dispatch(events);
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) {
        let mut line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.is_after_first_line, true) {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        if text.is_empty() {
            self.dispatch(events);
        } else {
            self.read_field(text);
        }
        line.clear();
        self.line = line;
    }

    /// Reads `name: value`; a line that begins with a colon is a comment.
    fn read_field(&mut self, line: &[u8]) {
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(&String::from_utf8_lossy(value));
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<SseEvent>) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            events.push(SseEvent { name, data });
        }
    }
}

#[cfg(test)]
mod tests;

//! Makes untrusted text safe to print: it cannot control a terminal, reorder the text around it or begin a line.

use std::fmt::{self, Write};

/// The longest value of a log line, in characters as they are written. A stranger's name may have a megabyte.
pub const MAX_LOG_VALUE: usize = 2048;

/// Whether a character has no width of its own or reorders its neighbours, so that two names can look alike: Unicode's
/// `Default_Ignorable_Code_Point`, line separators and annotations.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Judges the characters of one text in turn. What joins and colours emoji can be shown behind one.
#[derive(Debug, Clone)]
pub struct Visibility {
    before: char,
}

impl Default for Visibility {
    fn default() -> Self {
        Self { before: ' ' }
    }
}

impl Visibility {
    /// Whether the next character can be shown as it is: neither a control character nor unseen.
    pub fn shows(&mut self, c: char) -> bool {
        let joins = matches!(c, '\u{200d}' | '\u{fe0f}') && (is_emoji(self.before) || self.before == '\u{fe0f}');
        self.before = c;
        joins || !(c.is_control() || is_unseen(c))
    }
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Writes a value for a line of a log: what [`Visibility`] does not show is escaped (`\n`, `\u{1b}`), and of more than `most`
/// characters the first are followed by `…`.
///
/// # Errors
/// What `out` says.
///
/// ```
/// let mut line = String::new();
/// agentnet_protocol::preview::visible::write_escaped(&mut line, 9, format_args!("{} {}", "a\nb\u{1b}", 5)).unwrap();
/// assert_eq!(line, r"a\nb…");
/// ```
pub fn write_escaped(out: &mut dyn Write, most: usize, value: fmt::Arguments<'_>) -> fmt::Result {
    let mut writer = Escaping {
        out,
        left: most,
        visibility: Visibility::default(),
        ended: None,
    };
    let written = writer.write_fmt(value);
    match writer.ended {
        Some(End::Full) => out.write_char('…'),
        Some(End::Failed) => Err(fmt::Error),
        // A value whose own formatting fails is not the fault of `out`.
        None => written,
    }
}

struct Escaping<'a> {
    out: &'a mut dyn Write,
    left: usize,
    visibility: Visibility,
    ended: Option<End>,
}

enum End {
    Full,
    Failed,
}

impl Escaping<'_> {
    fn end(&mut self, end: End) -> fmt::Error {
        self.ended = Some(end);
        fmt::Error
    }

    fn put(&mut self, text: &str) -> fmt::Result {
        if text.is_empty() || self.out.write_str(text).is_ok() {
            return Ok(());
        }
        Err(self.end(End::Failed))
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.ended.is_some() {
            return Err(fmt::Error);
        }
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            let escape = (!self.visibility.shows(c)).then(|| c.escape_default());
            let length = escape.as_ref().map_or(1, ExactSizeIterator::len);
            if length > self.left {
                self.put(&text[plain..at])?;
                return Err(self.end(End::Full));
            }
            self.left -= length;
            if let Some(escape) = escape {
                self.put(&text[plain..at])?;
                self.put(&escape.collect::<String>())?;
                plain = at + c.len_utf8();
            }
        }
        self.put(&text[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(most: usize, value: fmt::Arguments<'_>) -> String {
        let mut out = String::new();
        write_escaped(&mut out, most, value).unwrap();
        out
    }

    #[test]
    fn a_value_stays_on_its_line() {
        for (text, written) in [
            ("plain, ünïcödé 日本 C:\\x \"q\"", "plain, ünïcödé 日本 C:\\x \"q\""),
            ("two\r\nlines\tmore", r"two\r\nlines\tmore"),
            (
                "\u{1b}[31mred\u{7}\u{7f}\u{9b}2J\u{85}",
                r"\u{1b}[31mred\u{7}\u{7f}\u{9b}2J\u{85}",
            ),
            (
                "a\u{202e}b\u{200b}c\u{2028}\u{2800}\u{e0041}",
                r"a\u{202e}b\u{200b}c\u{2028}\u{2800}\u{e0041}",
            ),
            (
                "\u{1f469}\u{200d}\u{1f467} a\u{200d}b",
                "\u{1f469}\u{200d}\u{1f467} a\\u{200d}b",
            ),
        ] {
            assert_eq!(escaped(99, format_args!("{text}")), written, "{text:?}");
        }
    }

    #[test]
    fn a_value_is_bounded() {
        assert_eq!(escaped(3, format_args!("abc")), "abc");
        assert_eq!(escaped(3, format_args!("ab{}", "cd")), "abc…");
        assert_eq!(escaped(3, format_args!("{}", "äöüß")), "äöü…");
        assert_eq!(escaped(3, format_args!("ab\n")), "ab…");
        assert_eq!(escaped(3, format_args!("ab\n and more, a{}", 'b')), "ab…");
        let long = "\u{202e}".repeat(1 << 20);
        assert_eq!(
            escaped(MAX_LOG_VALUE, format_args!("{long:?}")).chars().count(),
            8 * 255 + 7 + 1 + 1
        );
    }
}

//! Building objects and arrays as wire text (PROTOCOL.md section 4.2).

use super::escape::escape_into;
use super::number::float_text;

/// Writes one object, member by member, in the order of the calls: compact, ASCII only.
#[derive(Debug)]
pub struct ObjectWriter {
    out: String,
}

impl Default for ObjectWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ObjectWriter {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// As [`ObjectWriter::new`], with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = String::with_capacity(bytes);
        out.push('{');
        Self { out }
    }

    fn key(&mut self, key: &str) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        self.out.push('"');
        escape_into(key, &mut self.out);
        self.out.push_str("\":");
    }

    /// A text member.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.out.push('"');
        escape_into(value, &mut self.out);
        self.out.push('"');
        self
    }

    /// A text member that is left out when absent.
    pub fn opt_text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A text member that is `null` when absent.
    pub fn nullable_text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// An integer member.
    pub fn int(&mut self, key: &str, value: impl Into<i128>) -> &mut Self {
        self.raw(key, &value.into().to_string())
    }

    /// A number member that always carries a fraction or an exponent, as Python writes doubles.
    pub fn float(&mut self, key: &str, value: f64) -> &mut Self {
        self.raw(key, &float_text(value))
    }

    /// A boolean member.
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A member that is `null`.
    pub fn null(&mut self, key: &str) -> &mut Self {
        self.raw(key, "null")
    }

    /// A member whose value is given as JSON text, put in as it is.
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.key(key);
        self.out.push_str(json);
        self
    }

    /// A member that is an array, whose items are given as JSON text with commas between them.
    pub fn raw_items(&mut self, key: &str, items: &str) -> &mut Self {
        self.key(key);
        self.out.push('[');
        self.out.push_str(items);
        self.out.push(']');
        self
    }

    /// A member that is an array of texts.
    pub fn texts<T: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = T>) -> &mut Self {
        let mut array = ArrayWriter::new();
        for value in values {
            array.text(value.as_ref());
        }
        self.raw(key, &array.finish())
    }

    /// The object's text.
    #[must_use]
    pub fn finish(&mut self) -> String {
        self.out.push('}');
        std::mem::take(&mut self.out)
    }
}

/// Writes one array, item by item: compact, ASCII only.
#[derive(Debug)]
pub struct ArrayWriter {
    out: String,
}

impl Default for ArrayWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ArrayWriter {
    /// An array without items.
    #[must_use]
    pub fn new() -> Self {
        Self { out: String::from("[") }
    }

    /// A text item.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        self.out.push('"');
        escape_into(value, &mut self.out);
        self.out.push('"');
        self
    }

    /// An item given as JSON text, put in as it is.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.comma();
        self.out.push_str(json);
        self
    }

    /// How many bytes the text has so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.len() == 1
    }

    fn comma(&mut self) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
    }

    /// The array's text.
    #[must_use]
    pub fn finish(&mut self) -> String {
        self.out.push(']');
        std::mem::take(&mut self.out)
    }
}

//! The YAML document as a tree whose values know their place in the file.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::key_path::{KeyPath, Segment};
use super::problem::Position;
use super::quote::{quote, shorten};

/// Values of a document, those that aliases repeat included.
const MAX_NODES: usize = 50_000;
/// Lists and mappings inside each other.
const MAX_DEPTH: usize = 40;

/// A value of the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it is written.
    pub(crate) at: Position,
    /// The value itself.
    pub(crate) value: NodeValue,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeValue {
    /// Nothing: `key:`, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A text, plain or in quotes.
    Text(String),
    /// A list of values.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys may repeat.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Text of the key.
    pub(crate) key: String,
    /// Where the key is written.
    pub(crate) key_at: Position,
    /// The value of the key.
    pub(crate) node: Node,
}

impl Node {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, (Position, String)> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: MAX_NODES,
                max_depth: MAX_DEPTH,
                max_anchors: 1_000,
                max_aliases: 1_000,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            strict_booleans: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options::<Spanned<NodeValue>>(text, options)
            .map(Self::from)
            .map_err(|error| {
                let at = error.location().map_or(Position::Whole, position);
                let message = UserMessageFormatter.format_message(error.without_snippet());
                (at, format!("is not valid YAML: {}", shorten_message(&message)))
            })
    }

    /// Reads the value of an override: YAML, or the text itself where it is none.
    pub(crate) fn of_override(text: &str) -> Self {
        let mut node = Self::parse(text).unwrap_or_else(|_| Self {
            at: Position::Override,
            value: NodeValue::Text(text.to_owned()),
        });
        node.relocate(Position::Override);
        node
    }

    fn relocate(&mut self, at: Position) {
        self.at = at;
        match &mut self.value {
            NodeValue::List(items) => items.iter_mut().for_each(|item| item.relocate(at)),
            NodeValue::Map(entries) => {
                for entry in entries {
                    entry.key_at = at;
                    entry.node.relocate(at);
                }
            }
            _ => {}
        }
    }

    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            NodeValue::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The element of a list.
    pub(crate) fn element(&self, index: usize) -> Option<&Self> {
        match &self.value {
            NodeValue::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The text, if this is one, as it is written: variables are not filled in.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether there is a value at this path.
    pub(crate) fn has(&self, path: &KeyPath) -> bool {
        self.nearest(path).1
    }

    /// Where the value of a path is written; where it is absent, its nearest parent.
    pub(crate) fn locate(&self, path: &KeyPath) -> Position {
        self.nearest(path).0.at
    }

    /// The value of a path as messages quote it: as the file has it, so that no variable's value is shown.
    pub(crate) fn quoted(&self, path: &KeyPath) -> String {
        match self.nearest(path) {
            (node, true) => match &node.value {
                NodeValue::Text(text) => quote(text),
                NodeValue::Number(number) => number.to_string(),
                _ => "this value".to_owned(),
            },
            _ => "the default".to_owned(),
        }
    }

    /// Whether the value of a path is a text with variables.
    pub(crate) fn has_variables(&self, path: &KeyPath) -> bool {
        self.nearest(path).0.text().is_some_and(super::variables::are_in)
    }

    /// The value of a path or of its nearest parent, and whether it is the value itself.
    fn nearest(&self, path: &KeyPath) -> (&Self, bool) {
        let mut node = self;
        for segment in path.segments() {
            let next = match segment {
                Segment::Key(key) => node.get(key),
                Segment::Index(index) => node.element(*index),
            };
            match next {
                Some(next) => node = next,
                None => return (node, false),
            }
        }
        (node, true)
    }

    /// What the value is, for messages about another kind that is expected.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a mapping",
        }
    }
}

impl From<Spanned<NodeValue>> for Node {
    fn from(spanned: Spanned<NodeValue>) -> Self {
        let at = if spanned.referenced == Location::UNKNOWN {
            spanned.defined
        } else {
            spanned.referenced
        };
        Self {
            at: position(at),
            value: spanned.value,
        }
    }
}

fn position(location: Location) -> Position {
    if location == Location::UNKNOWN {
        return Position::Whole;
    }
    Position::File {
        line: location.line(),
        column: location.column(),
    }
}

/// A parser's message on one line.
fn shorten_message(message: &str) -> String {
    let plain: String = message
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(200)
        .collect();
    if plain.is_empty() { shorten("malformed") } else { plain }
}

impl<'de> Deserialize<'de> for NodeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = NodeValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_none<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<NodeValue, E> {
        Ok(NodeValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<NodeValue, E> {
        Number::from_f64(value)
            .map(NodeValue::Number)
            .ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<NodeValue, E> {
        Ok(NodeValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<NodeValue, E> {
        Ok(NodeValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NodeValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<NodeValue>>()? {
            items.push(item.into());
        }
        Ok(NodeValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key_at = position(key.referenced);
            let node = map.next_value::<Spanned<NodeValue>>()?.into();
            entries.push(Entry {
                key: key.value,
                key_at,
                node,
            });
        }
        Ok(NodeValue::Map(entries))
    }
}

#[cfg(test)]
mod tests;

//! Checks a document against the JSON Schema of its format, fills in its variables, and turns it into JSON.
//!
//! Understands the part of JSON Schema that `file.rs` and `legacy.rs` produce, and reports every problem with its place. A
//! text is filled in before it is checked, so that `max_steps: ${STEPS:-8}` is a number. Values of variables are never shown.

use serde_json::{Map, Value};

use super::Environment;
use super::file::{LATE, SWITCH};
use super::key_path::KeyPath;
use super::node::{Entry, Node, NodeValue};
use super::problem::{Position, Problems};
use super::quote::quote;
use super::schema::{kind_of, properties, resolve};
use super::{similar, variables};

mod stand_in;

/// Keys of the root that may hold anything: anchors, notes.
const EXTENSION_PREFIX: &str = "x-";

/// Checks one document.
pub(crate) struct Shape<'a> {
    schema: &'a Value,
    environment: &'a Environment,
    problems: &'a mut Problems,
    /// Key of the agent whose values are checked.
    agent: Option<String>,
}

impl<'a> Shape<'a> {
    /// Turns a document into JSON that fits the schema. A value with a problem is marked as broken and left out; where it is
    /// required, another one stands in for it.
    pub(crate) fn read(
        root: &Node,
        schema: &'a Value,
        environment: &'a Environment,
        problems: &'a mut Problems,
    ) -> Option<Value> {
        let mut shape = Self {
            schema,
            environment,
            problems,
            agent: None,
        };
        shape.value(root, schema, &KeyPath::default())
    }

    fn value(&mut self, node: &Node, schema: &'a Value, path: &KeyPath) -> Option<Value> {
        let schema = resolve(self.schema, schema);
        match kind_of(schema) {
            "object" => self.object(node, schema, path),
            "array" => self.array(node, schema, path),
            "string" => self.text(node, schema, path),
            "integer" => self.integer(node, schema, path),
            "number" => self.number(node, schema, path),
            "boolean" => self.boolean(node, path),
            _ => self.any(node, path),
        }
    }

    fn object(&mut self, node: &Node, schema: &'a Value, path: &KeyPath) -> Option<Value> {
        if schema.get(SWITCH).is_some() && !matches!(node.value, NodeValue::Map(_)) {
            return self.switch(node, path);
        }
        let NodeValue::Map(entries) = &node.value else {
            return self.wrong_kind(node, "a mapping", path);
        };
        let mut object = Map::new();
        for (place, entry) in entries.iter().enumerate() {
            let at = path.key(&entry.key);
            if self.is_repeated(entries, place, &at) || is_extension(entry, path) {
                continue;
            }
            let required = is_required(schema, &entry.key);
            if let Some(property) = schema["properties"].get(&entry.key) {
                if entry.node.value == NodeValue::Null && !required {
                    continue;
                }
                let value = self.value(&entry.node, property, &at);
                let value = value.or_else(|| self.stand_in(property, &at, required));
                object.extend(value.map(|value| (entry.key.clone(), value)));
                continue;
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) => {
                    let meant = self.unknown_key(entry, schema, &at);
                    // No second message says that this one is missing.
                    if let Some(name) = meant.filter(|name| entries.iter().all(|entry| entry.key != *name)) {
                        self.problems.mark_broken(&path.key(&name));
                    }
                }
                Some(values @ Value::Object(_)) => {
                    let value = self.value(&entry.node, values, &at);
                    let value = value.or_else(|| self.stand_in(values, &at, true));
                    object.extend(value.map(|value| (entry.key.clone(), value)));
                }
                _ => {
                    let file_key = at.to_string();
                    tracing::warn!(key = file_key, "the configuration has a key that is not used");
                }
            }
        }
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for name in required.iter().filter_map(Value::as_str) {
            if entries.iter().any(|entry| entry.key == name) {
                continue;
            }
            let at = path.key(name);
            if !self.problems.is_broken(&at) {
                self.problems.add(node.at, path, format!("{} is missing", quote(name)));
            }
            let value = self.stand_in(&schema["properties"][name], &at, true);
            object.extend(value.map(|value| (name.to_owned(), value)));
        }
        Some(Value::Object(object))
    }

    /// Marks a value as broken. Returns one that stands in for it, if it is required.
    fn stand_in(&mut self, schema: &Value, path: &KeyPath, is_required: bool) -> Option<Value> {
        self.problems.mark_broken(path);
        is_required.then(|| stand_in::value(self.schema, schema, path))
    }

    /// Whether an earlier entry has the same key, which is a problem.
    fn is_repeated(&mut self, entries: &[Entry], place: usize, path: &KeyPath) -> bool {
        let entry = &entries[place];
        let Some(first) = entries[..place].iter().find(|other| other.key == entry.key) else {
            return false;
        };
        let message = match first.key_at {
            Position::File { line, .. } => format!("is given twice, first in line {line}"),
            _ => "is given twice".to_owned(),
        };
        self.problems.add(entry.key_at, path, message);
        true
    }

    /// Reports an unknown key; returns the known one that it may have meant.
    fn unknown_key(&mut self, entry: &Entry, schema: &Value, path: &KeyPath) -> Option<String> {
        let names = || properties(schema).map(|(name, _)| name);
        let meant = similar::closest(&entry.key, names());
        let hint = match meant {
            Some(name) => format!("; did you mean {}?", quote(name)),
            None => similar::hint(&entry.key, names()),
        };
        self.problems
            .add(entry.key_at, path, format!("unknown key {}{hint}", quote(&entry.key)));
        meant.map(str::to_owned)
    }

    fn array(&mut self, node: &Node, schema: &'a Value, path: &KeyPath) -> Option<Value> {
        let NodeValue::List(items) = &node.value else {
            return self.wrong_kind(node, "a list", path);
        };
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(least) = schema["minItems"].as_u64().filter(|least| length < *least) {
            self.problems
                .add(node.at, path, format!("needs at least {least} entries, has {length}"));
        }
        if let Some(limit) = schema["maxItems"].as_u64().filter(|limit| length > *limit) {
            self.problems
                .add(node.at, path, format!("may have at most {limit} entries, has {length}"));
            return None;
        }
        let is_agents = *path == KeyPath::of(["agents"]);
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if is_agents {
                self.agent = item.get("key").and_then(Node::text).map(str::to_owned);
            }
            let (at, element) = (path.index(index), &schema["items"]);
            let value = self.value(item, element, &at);
            list.extend(value.or_else(|| self.stand_in(element, &at, true)));
        }
        if is_agents {
            self.agent = None;
        }
        Some(Value::Array(list))
    }

    fn text(&mut self, node: &Node, schema: &Value, path: &KeyPath) -> Option<Value> {
        let NodeValue::Text(written) = &node.value else {
            return self.wrong_kind(node, "text", path);
        };
        if schema.get(LATE).is_some() {
            return self.late(written, node, path);
        }
        let text = self.expand(written, node, path)?;
        if let Some(options) = schema["enum"].as_array() {
            let names = || options.iter().filter_map(Value::as_str);
            if !names().any(|name| name == text) {
                let hint = similar::hint(written, names());
                self.problems
                    .add(node.at, path, format!("unknown value {}{hint}", quote(written)));
                return None;
            }
        }
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            self.problems.add(node.at, path, "must not be empty");
            return None;
        }
        if let Some(limit) = schema["maxLength"].as_u64().filter(|limit| length > *limit) {
            self.problems.add(
                node.at,
                path,
                format!("may have at most {limit} characters, has {length}"),
            );
            return None;
        }
        Some(Value::String(text))
    }

    /// A secret that may be missing until it is used: `{"set": text}` or `{"unset": names}`.
    fn late(&mut self, written: &str, node: &Node, path: &KeyPath) -> Option<Value> {
        let expanded = self.try_expand(written, node, path)?;
        let unset = if !expanded.missing.is_empty() {
            Some(&expanded.missing)
        } else if expanded.text.trim().is_empty() && !expanded.names.is_empty() {
            Some(&expanded.names)
        } else {
            None
        };
        let (state, text) = match unset {
            Some(names) => ("unset", variables::shown(names)),
            None => ("set", expanded.text),
        };
        Some(Value::Object(Map::from_iter([(state.to_owned(), Value::String(text))])))
    }

    fn integer(&mut self, node: &Node, schema: &Value, path: &KeyPath) -> Option<Value> {
        let number: Option<i128> = match &node.value {
            NodeValue::Number(number) => {
                let signed = number.as_i64().map(i128::from);
                signed.or_else(|| number.as_u64().map(i128::from))
            }
            NodeValue::Text(text) if variables::are_in(text) => self.expand(text, node, path)?.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            return self.wrong_kind(node, "a whole number", path);
        };
        // Bounds are small numbers, which a float holds exactly.
        self.check_bounds(number as f64, schema, node, path)?;
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => Some(number.into()),
            (_, Ok(number)) => Some(number.into()),
            _ => {
                self.problems.add(node.at, path, "is too large");
                None
            }
        }
    }

    fn number(&mut self, node: &Node, schema: &Value, path: &KeyPath) -> Option<Value> {
        let number: Option<f64> = match &node.value {
            NodeValue::Number(number) => number.as_f64(),
            NodeValue::Text(text) if variables::are_in(text) => self.expand(text, node, path)?.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return self.wrong_kind(node, "a number", path);
        };
        self.check_bounds(number, schema, node, path)?;
        Some(number.into())
    }

    fn boolean(&mut self, node: &Node, path: &KeyPath) -> Option<Value> {
        self.truth(node, "true or false", path).map(Value::Bool)
    }

    /// `true` or `false` in the place of a mapping.
    fn switch(&mut self, node: &Node, path: &KeyPath) -> Option<Value> {
        match self.truth(node, "true, false or a mapping", path)? {
            true => Some(Value::Object(Map::new())),
            false => Some(Value::Null),
        }
    }

    fn truth(&mut self, node: &Node, expected: &str, path: &KeyPath) -> Option<bool> {
        let value = match &node.value {
            NodeValue::Bool(value) => Some(*value),
            NodeValue::Text(text) if variables::are_in(text) => {
                agentnet_protocol::env_bool::parse_bool(&self.expand(text, node, path)?)
            }
            _ => None,
        };
        if value.is_none() {
            self.wrong_kind(node, expected, path);
        }
        value
    }

    /// A value of any kind: variables are filled in, nothing else is checked.
    fn any(&mut self, node: &Node, path: &KeyPath) -> Option<Value> {
        Some(match &node.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => (*value).into(),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::Text(text) => self.expand(text, node, path)?.into(),
            NodeValue::List(items) => {
                let items = items.iter().enumerate();
                // All of them are checked before one that is wrong ends this.
                let list: Vec<Option<Value>> = items.map(|(index, item)| self.any(item, &path.index(index))).collect();
                Value::Array(list.into_iter().collect::<Option<_>>()?)
            }
            NodeValue::Map(entries) => {
                let mut members = Vec::new();
                for (place, entry) in entries.iter().enumerate() {
                    let at = path.key(&entry.key);
                    if !self.is_repeated(entries, place, &at) {
                        let value = self.any(&entry.node, &at);
                        members.push(value.map(|value| (entry.key.clone(), value)));
                    }
                }
                Value::Object(members.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    fn check_bounds(&mut self, number: f64, schema: &Value, node: &Node, path: &KeyPath) -> Option<()> {
        let (least, limit) = (&schema["minimum"], &schema["maximum"]);
        let is_low = least.as_f64().is_some_and(|least| number < least);
        let is_high = limit.as_f64().is_some_and(|limit| number > limit);
        if !is_low && !is_high {
            return Some(());
        }
        let message = match (least, limit) {
            (Value::Number(least), Value::Number(limit)) if least == limit => format!("must be {least}"),
            (Value::Number(least), Value::Number(limit)) => format!("must be from {least} to {limit}"),
            (Value::Number(least), _) => format!("must be at least {least}"),
            _ => format!("must be at most {limit}"),
        };
        self.problems.add(node.at, path, message);
        None
    }

    fn wrong_kind(&mut self, node: &Node, expected: &str, path: &KeyPath) -> Option<Value> {
        let message = match &node.value {
            NodeValue::Text(text) if variables::are_in(text) => {
                format!("expected {expected}, and {} gives something else", quote(text))
            }
            NodeValue::Number(_) | NodeValue::Bool(_) if expected == "text" => {
                format!("expected text, found {}; put it in quotes", node.kind())
            }
            _ => format!("expected {expected}, found {}", node.kind()),
        };
        self.problems.add(node.at, path, message);
        None
    }

    /// Fills in a text; a variable that is missing is a problem.
    fn expand(&mut self, text: &str, node: &Node, path: &KeyPath) -> Option<String> {
        let expanded = self.try_expand(text, node, path)?;
        if expanded.missing.is_empty() {
            return Some(expanded.text);
        }
        let agent = match &self.agent {
            Some(key) => format!(" of the agent {}", quote(key)),
            None => String::new(),
        };
        let names = variables::shown(&expanded.missing);
        let message = format!("the variable {names}{agent} is not set and has no default (`${{NAME:-default}}`)");
        self.problems.add(node.at, path, message);
        None
    }

    fn try_expand(&mut self, text: &str, node: &Node, path: &KeyPath) -> Option<variables::Expanded> {
        match variables::expand(text, self.environment) {
            Ok(expanded) => Some(expanded),
            Err(message) => {
                self.problems.add(node.at, path, message);
                None
            }
        }
    }
}

/// Whether an entry of the root is one that is not looked at.
fn is_extension(entry: &Entry, path: &KeyPath) -> bool {
    path.segments().is_empty() && entry.key.starts_with(EXTENSION_PREFIX)
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"]
        .as_array()
        .is_some_and(|names| names.iter().any(|other| other == name))
}

#[cfg(test)]
mod tests;

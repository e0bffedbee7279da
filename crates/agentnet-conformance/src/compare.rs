//! Compares received values with expected ones, member by member.
//!
//! Outside of strict mode, records may have members that the step file does not name (section 0.10), their members stand in
//! any order, and a setting of the registry may have another value than the recorded one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::ids;
use crate::placeholder::Bindings;

/// Objects with users' content: a registry adds no members to them.
const CONTENTS: [&str; 3] = ["payload", "metadata", "envelope"];

/// How strictly values are compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// No further members, the recorded order of members, the recorded settings.
    pub(crate) strict: bool,
    /// Members whose recorded value stands for any value of its type.
    pub(crate) settings: Map<String, Value>,
    /// Members that implementations without the additions of section 0.10 lack.
    pub(crate) additions: Vec<String>,
    /// Path prefixes of counters, whose actual value may be larger.
    pub(crate) growing: &'static [&'static str],
}

/// How a value compares with the expected one and with that of the Python implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// Equal to the expected value.
    Expected,
    /// Equal to the expected value, except at these places, which equal the Python implementation's.
    Original(Vec<String>),
    /// Equal to neither; one line for each place.
    Neither(Vec<String>),
}

/// The differences between an expected value and the actual one, one line each; none if they agree. Binds placeholders.
pub(crate) fn differences(expected: &Value, actual: &Value, bindings: &mut Bindings, rules: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    rules.compare("$", expected, actual, bindings, &mut found);
    found
}

/// Compares with the expected value and that of the Python implementation: each place may equal either.
pub(crate) fn match_either(
    expected: &Value,
    original: &Value,
    actual: &Value,
    bindings: &mut Bindings,
    rules: &Rules,
) -> Match {
    let mut places = Vec::new();
    let mut found = Vec::new();
    let values = (Some(expected), Some(original), Some(actual));
    either("$", values, bindings, rules, &mut places, &mut found);
    match (found.is_empty(), places.is_empty()) {
        (false, _) => Match::Neither(found),
        (true, true) => Match::Expected,
        (true, false) => Match::Original(places),
    }
}

/// Expected, original and actual value; `None` where a member is missing.
type Values<'a> = (Option<&'a Value>, Option<&'a Value>, Option<&'a Value>);

fn either(
    path: &str,
    values: Values<'_>,
    bindings: &mut Bindings,
    rules: &Rules,
    places: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    let (expected, original, actual) = values;
    let lines = match try_one(path, expected, actual, bindings, rules) {
        Ok(()) => return,
        Err(lines) => lines,
    };
    if expected != original && try_one(path, original, actual, bindings, rules).is_ok() {
        places.push(path.to_owned());
        return;
    }
    let before = (places.len(), found.len());
    match (expected, actual) {
        (Some(_), None) if rules.is_addition(path) => places.push(path.to_owned()),
        (Some(Value::Object(ours)), Some(Value::Object(members))) => {
            let theirs = original.and_then(Value::as_object).unwrap_or(ours);
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).chain(members.keys()).collect();
            for name in names {
                let three = (ours.get(name), theirs.get(name), members.get(name));
                either(&format!("{path}.{name}"), three, bindings, rules, places, found);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(items))) if ours.len() == items.len() => {
            let theirs = original.and_then(Value::as_array).unwrap_or(ours);
            for (index, (own, item)) in ours.iter().zip(items).enumerate() {
                let three = (Some(own), Some(counterpart(theirs, own, ours.len(), index)), Some(item));
                either(&format!("{path}[{index}]"), three, bindings, rules, places, found);
            }
        }
        _ => {}
    }
    // No member or item differs, or there are none: the value itself differs.
    if before == (places.len(), found.len()) {
        found.extend(lines);
    }
}

/// The item of the Python implementation's list that corresponds to an expected one: the item with the same id, else the item
/// at the same index of a list of the same length, else the expected item itself.
fn counterpart<'a>(theirs: &'a [Value], own: &'a Value, length: usize, index: usize) -> &'a Value {
    let same_id = |item: &&Value| ids::of(own).is_some() && ids::of(item) == ids::of(own);
    let same_place = theirs.get(index).filter(|_| theirs.len() == length);
    theirs.iter().find(same_id).or(same_place).unwrap_or(own)
}

/// Compares, and keeps the new bindings only if the values agree.
fn try_one(
    path: &str,
    expected: Option<&Value>,
    actual: Option<&Value>,
    bindings: &mut Bindings,
    rules: &Rules,
) -> Result<(), Vec<String>> {
    let mut found = Vec::new();
    let mut trial = bindings.clone();
    match (expected, actual) {
        (Some(expected), Some(actual)) => rules.compare(path, expected, actual, &mut trial, &mut found),
        (Some(expected), None) => found.push(format!("{path}: expected {expected}, missing")),
        (None, Some(actual)) if rules.strict || in_contents(path) => {
            found.push(format!("{path}: not expected, got {actual}"));
        }
        (None, _) => {}
    }
    if found.is_empty() {
        *bindings = trial;
        Ok(())
    } else {
        Err(found)
    }
}

/// Whether a path leads into an object with users' content.
fn in_contents(path: &str) -> bool {
    path.split(['.', '['])
        .rev()
        .skip(1)
        .any(|name| CONTENTS.contains(&name))
}

impl Rules {
    fn compare(&self, path: &str, expected: &Value, actual: &Value, bindings: &mut Bindings, found: &mut Vec<String>) {
        let differs = || format!("{path}: expected {expected}, got {actual}");
        match (expected, actual) {
            _ if self.is_setting(path, expected) => {
                let same_type = match (expected, actual) {
                    (Value::Number(expected), Value::Number(actual)) => expected.is_f64() == actual.is_f64(),
                    _ => std::mem::discriminant(expected) == std::mem::discriminant(actual),
                };
                found.extend((!same_type).then(differs));
            }
            (Value::Object(expected), Value::Object(members)) => {
                self.compare_members(path, expected, members, bindings, found);
            }
            (Value::Array(expected), Value::Array(items)) => {
                if expected.len() != items.len() {
                    found.push(format!(
                        "{path}: expected {} items, got {}",
                        expected.len(),
                        items.len()
                    ));
                }
                for (index, (expected, actual)) in expected.iter().zip(items).enumerate() {
                    self.compare(&format!("{path}[{index}]"), expected, actual, bindings, found);
                }
            }
            (Value::String(template), actual) => {
                let same = bindings.matches(template, actual);
                let shown = || format!("{path}: expected {:?}, got {actual}", bindings.shown(template));
                found.extend((!same).then(shown));
            }
            (Value::Number(least), Value::Number(number)) if self.grows(path) => {
                let enough = number.as_i64() >= least.as_i64() && number.as_i64().is_some();
                found.extend((!enough).then(|| format!("{path}: expected at least {least}, got {number}")));
            }
            _ if expected != actual => found.push(differs()),
            _ => {}
        }
    }

    fn compare_members(
        &self,
        path: &str,
        expected: &Map<String, Value>,
        members: &Map<String, Value>,
        bindings: &mut Bindings,
        found: &mut Vec<String>,
    ) {
        for (name, value) in expected {
            let path = format!("{path}.{name}");
            match members.get(name) {
                Some(actual) => self.compare(&path, value, actual, bindings, found),
                None => found.push(format!("{path}: expected {value}, missing")),
            }
        }
        for (name, value) in members.iter().filter(|(name, _)| !expected.contains_key(*name)) {
            let path = format!("{path}.{name}");
            if self.strict || in_contents(&path) {
                found.push(format!("{path}: not expected, got {value}"));
            }
        }
        if self.strict && expected.len() == members.len() && !expected.keys().eq(members.keys()) {
            let names: Vec<&String> = members.keys().collect();
            found.push(format!("{path}: the members stand in another order: {names:?}"));
        }
    }

    fn is_setting(&self, path: &str, expected: &Value) -> bool {
        let name = path.rsplit('.').next().unwrap_or_default();
        !self.strict && !in_contents(path) && self.settings.get(name) == Some(expected)
    }

    fn is_addition(&self, path: &str) -> bool {
        let name = path.rsplit('.').next().unwrap_or_default();
        !in_contents(path) && self.additions.iter().any(|addition| addition == name)
    }

    fn grows(&self, path: &str) -> bool {
        !self.strict && self.growing.iter().any(|prefix| path.starts_with(prefix))
    }
}

/// Whether two replies have the same members of the same types, at every depth except inside arrays.
pub(crate) fn same_shape(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same_shape(value, other)))
        }
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

#[cfg(test)]
mod tests;

//! Reads vector files and runs a check on each of their cases.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use agentnet_protocol::json::{self, Kind};
use serde_json::Value;

/// One file of vectors.
pub(crate) struct Vectors {
    name: String,
    root: Value,
}

/// One case of a file.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) value: &'a Value,
}

impl Vectors {
    /// Reads `<name>.json`.
    pub(crate) fn load(name: &str) -> Self {
        let path = locate(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let view = json::Value::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            name: path.display().to_string(),
            root: convert(view),
        }
    }

    /// A member of the file beside its cases.
    pub(crate) fn member(&self, name: &str) -> &Value {
        &self.root[name]
    }

    /// Runs a check on every case and fails with the list of all cases that failed.
    pub(crate) fn check(&self, mut check: impl FnMut(Case<'_>)) {
        let cases = self.root["cases"]
            .as_array()
            .expect("a vector file has an array `cases`");
        assert!(!cases.is_empty(), "{} has no cases", self.name);
        let mut failures = Vec::new();
        for (index, value) in cases.iter().enumerate() {
            let case = Case { value };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(case))) {
                let message = panic.downcast_ref::<String>().cloned();
                let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                failures.push(format!(
                    "case {index} ({}): {}",
                    case.name(),
                    message.unwrap_or_default()
                ));
            }
        }
        let (failed, all) = (failures.len(), cases.len());
        assert!(
            failures.is_empty(),
            "{}: {failed} of {all} cases failed\n{}",
            self.name,
            failures.join("\n")
        );
    }
}

/// Runs a check on every case of `<name>.json`.
pub(crate) fn check_each(name: &str, check: impl FnMut(Case<'_>)) {
    Vectors::load(name).check(check);
}

impl<'a> Case<'a> {
    /// What it is called in a report: its `case`, else the beginning of its text.
    fn name(&self) -> String {
        match self.value["case"].as_str() {
            Some(name) => name.to_owned(),
            None => self.value.to_string().chars().take(120).collect(),
        }
    }

    pub(crate) fn get(&self, member: &str) -> &'a Value {
        &self.value[member]
    }

    pub(crate) fn has(&self, member: &str) -> bool {
        self.value.get(member).is_some()
    }

    pub(crate) fn text(&self, member: &str) -> &'a str {
        self.opt_text(member)
            .unwrap_or_else(|| panic!("the case has no text `{member}`"))
    }

    pub(crate) fn opt_text(&self, member: &str) -> Option<&'a str> {
        self.get(member).as_str()
    }

    pub(crate) fn int(&self, member: &str) -> i64 {
        self.get(member)
            .as_i64()
            .unwrap_or_else(|| panic!("the case has no integer `{member}`"))
    }

    pub(crate) fn float(&self, member: &str) -> f64 {
        self.get(member)
            .as_f64()
            .unwrap_or_else(|| panic!("the case has no number `{member}`"))
    }
}

fn locate(name: &str) -> PathBuf {
    let file = format!("{name}.json");
    let given = env::var_os("AGENTNET_VECTORS").map(|directory| Path::new(&directory).join(&file));
    given.filter(|path| path.exists()).unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../spec/vectors")
            .join(file)
    })
}

/// Converted by hand because a file may hold what `serde_json` refuses; lone surrogates read as U+FFFD.
fn convert(value: json::Value<'_>) -> Value {
    match value.kind() {
        Kind::Null => Value::Null,
        Kind::Bool(flag) => Value::Bool(flag),
        Kind::Integer(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        // `serde_json` may miss the last bit of a double.
        Kind::Float(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
        Kind::String => Value::String(value.as_str().unwrap_or_default().into_owned()),
        Kind::Array => value.as_array().into_iter().flatten().map(convert).collect(),
        Kind::Object => {
            let members = value.as_object().into_iter().flat_map(|object| object.unique());
            members
                .map(|(name, value)| (name.as_str().unwrap_or_default().into_owned(), convert(value)))
                .collect()
        }
    }
}
